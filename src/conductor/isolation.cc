#include "conductor/isolation.h"

#include <algorithm>
#include <utility>

namespace tidegate {

void Breaker::begun(int64_t now_us) {
  if (closed_us_ > 0 && now_us >= closed_until_us_) probing_ = true;
}

void Breaker::succeeded() {
  // Only a probe says that it is well again: what fails every other time is not.
  if (!probing_) return;
  failures_.clear();
  probing_ = false;
  closed_us_ = 0;
  closed_until_us_ = 0;
}

bool Breaker::failed(int64_t now_us) {
  while (!failures_.empty() && failures_.front() < now_us - kWindowUs) failures_.pop_front();
  failures_.push_back(now_us);
  const bool probed = std::exchange(probing_, false);
  if (!probed && failures_.size() < kFailuresMax) return false;
  closed_us_ = closed_us_ == 0 ? kClosedUs : std::min(closed_us_ * 2, kClosedUsMax);
  closed_until_us_ = now_us + closed_us_;
  return true;
}

void Breaker::forgive(int64_t at_us) {
  const auto found = std::find(failures_.begin(), failures_.end(), at_us);
  if (found == failures_.end()) return;
  failures_.erase(found);
  if (failures_.size() >= kFailuresMax) return;
  closed_us_ = 0;
  closed_until_us_ = 0;
  probing_ = false;
}

Isolation::Isolation(std::vector<Place> places) : places_(std::move(places)) {
  uint32_t hosts = 0, domains = 0;
  for (const Place& place : places_) {
    hosts = std::max(hosts, place.host + 1);
    domains = std::max(domains, place.domain + 1);
  }
  rungs_.workers.resize(places_.size());
  rungs_.hosts.resize(hosts);
  rungs_.domains.resize(domains);
}

bool Isolation::allows(uint32_t worker, int64_t now_us) const {
  return rungs_.workers[worker].allows(now_us) &&
         rungs_.hosts[places_[worker].host].allows(now_us) &&
         rungs_.domains[places_[worker].domain].allows(now_us);
}

void Isolation::begun(uint32_t worker, int64_t now_us) {
  rungs_.workers[worker].begun(now_us);
  rungs_.hosts[places_[worker].host].begun(now_us);
  rungs_.domains[places_[worker].domain].begun(now_us);
}

void Isolation::succeeded(uint32_t worker) {
  rungs_.workers[worker].succeeded();
  rungs_.hosts[places_[worker].host].succeeded();
  rungs_.domains[places_[worker].domain].succeeded();
}

bool Isolation::another_open(const std::vector<Breaker>& all, uint32_t index, int64_t now_us) {
  for (uint32_t other = 0; other < all.size(); ++other)
    if (other != index && all[other].closed_until_us() <= now_us) return true;
  return false;
}

std::vector<Isolation::Closed> Isolation::failed(uint32_t worker, int64_t now_us) {
  std::vector<Closed> closed;
  if (!another_open(rungs_.workers, worker, now_us)) return closed;
  if (!rungs_.workers[worker].failed(now_us)) return closed;
  closed.push_back({Closed::Rung::kWorker, worker, rungs_.workers[worker].closed_until_us()});
  const uint32_t host = places_[worker].host;
  uint32_t members = 0, shut = 0;
  for (uint32_t other = 0; other < places_.size(); ++other) {
    if (places_[other].host != host) continue;
    ++members;
    shut += rungs_.workers[other].closed_until_us() > now_us;
  }
  if (2 * shut <= members) return closed;
  for (const Closed& one : close_host(host, now_us)) closed.push_back(one);
  return closed;
}

std::vector<Isolation::Closed> Isolation::close_host(uint32_t host, int64_t now_us) {
  std::vector<Closed> closed;
  if (rungs_.hosts[host].closed_until_us() > now_us || !another_open(rungs_.hosts, host, now_us))
    return closed;
  for (uint32_t i = 0; i < Breaker::kFailuresMax; ++i)
    if (rungs_.hosts[host].failed(now_us)) break;
  closed.push_back({Closed::Rung::kHost, host, rungs_.hosts[host].closed_until_us()});
  uint32_t domain = 0;
  for (const Place& place : places_)
    if (place.host == host) domain = place.domain;
  std::vector<bool> seen(rungs_.hosts.size(), false);
  uint32_t members = 0, shut = 0;
  for (const Place& place : places_) {
    if (place.domain != domain || seen[place.host]) continue;
    seen[place.host] = true;
    ++members;
    shut += rungs_.hosts[place.host].closed_until_us() > now_us;
  }
  if (2 * shut <= members || rungs_.domains[domain].closed_until_us() > now_us ||
      !another_open(rungs_.domains, domain, now_us))
    return closed;
  for (uint32_t i = 0; i < Breaker::kFailuresMax; ++i)
    if (rungs_.domains[domain].failed(now_us)) break;
  closed.push_back({Closed::Rung::kDomain, domain, rungs_.domains[domain].closed_until_us()});
  return closed;
}

void Isolation::forgive(uint32_t worker, int64_t at_us) { rungs_.workers[worker].forgive(at_us); }

int64_t Isolation::next_probe_us(int64_t now_us) const {
  int64_t next = INT64_MAX;
  for (const auto* rung : {&rungs_.workers, &rungs_.hosts, &rungs_.domains})
    for (const Breaker& breaker : *rung)
      if (breaker.closed_until_us() > now_us) next = std::min(next, breaker.closed_until_us());
  return next;
}

}  // namespace tidegate
