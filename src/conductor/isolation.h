#pragma once

#include <cstdint>
#include <deque>
#include <vector>

namespace tidegate {

/// Whether something that work runs at may have more of it: closed to work after kFailuresMax
/// failures within kWindowUs, for a while that doubles; then one attempt probes it.
class Breaker {
 public:
  static constexpr uint32_t kFailuresMax = 3;
  static constexpr int64_t kWindowUs = int64_t{300} * 1'000'000;
  static constexpr int64_t kClosedUs = int64_t{60} * 1'000'000;
  static constexpr int64_t kClosedUsMax = int64_t{960} * 1'000'000;

  bool allows(int64_t now_us) const { return now_us >= closed_until_us_ && !probing_; }
  int64_t closed_until_us() const { return closed_until_us_; }
  /// Work begins here: a probe, if it was closed.
  void begun(int64_t now_us);
  void succeeded();
  /// True if this closes it.
  bool failed(int64_t now_us);
  /// Takes a failure back that was not its fault.
  void forgive(int64_t at_us);

 private:
  std::deque<int64_t> failures_;
  int64_t closed_until_us_ = 0;
  int64_t closed_us_ = 0;  ///< how long it is closed; 0: it is not
  bool probing_ = false;
};

/// The ladder of what can be isolated: workers, the hosts that they run on, the domains (racks,
/// zones) of the hosts. One of which more than half of the members are closed is closed itself. The
/// last one of a kind stays open: bad work is better than none.
class Isolation {
 public:
  struct Place {
    uint32_t host = 0;
    uint32_t domain = 0;
  };
  struct Closed {
    enum class Rung : uint8_t { kWorker, kHost, kDomain };
    Rung rung;
    uint32_t index;
    int64_t until_us;
  };

  /// `places`: of each worker.
  explicit Isolation(std::vector<Place> places);
  bool allows(uint32_t worker, int64_t now_us) const;
  void begun(uint32_t worker, int64_t now_us);
  void succeeded(uint32_t worker);
  /// What a failure that is to be blamed on a worker closes.
  std::vector<Closed> failed(uint32_t worker, int64_t now_us);
  /// Closes a whole host at once, e.g. for a full disk; nothing if it is the last one.
  std::vector<Closed> close_host(uint32_t host, int64_t now_us);
  void forgive(uint32_t worker, int64_t at_us);
  /// When the next closed one may be probed; INT64_MAX if none is.
  int64_t next_probe_us(int64_t now_us) const;
  uint32_t host_of(uint32_t worker) const { return places_[worker].host; }

 private:
  struct Rungs {
    std::vector<Breaker> workers, hosts, domains;
  };
  /// Whether at least one other of so many is open.
  static bool another_open(const std::vector<Breaker>& all, uint32_t index, int64_t now_us);

  std::vector<Place> places_;
  Rungs rungs_;
};

}  // namespace tidegate
