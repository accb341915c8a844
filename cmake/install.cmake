# cmake --install: the binary, libduckdb in lib/tidegate (where the binary looks for it), the manual
# page, completions, documents and examples.
include(GNUInstallDirs)

if(TARGET tidegate)
  install(TARGETS tidegate RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

# The file itself, not the link that .deps may hold; asked for at install time, since it may be
# fetched after configuring. The binary looks in ../lib/tidegate whatever the host's libdir is.
install(CODE "
  file(REAL_PATH \"${CMAKE_SOURCE_DIR}/.deps/duckdb/libduckdb.so\" library)
  if(NOT EXISTS \"\${library}\")
    message(FATAL_ERROR \"libduckdb.so is missing: run scripts/deps first\")
  endif()
  set(place \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/lib/tidegate\")
  message(STATUS \"Installing: \${place}/libduckdb.so\")
  file(MAKE_DIRECTORY \"\${place}\")
  file(COPY_FILE \"\${library}\" \"\${place}/libduckdb.so\" ONLY_IF_DIFFERENT)
")

install(FILES ${CMAKE_SOURCE_DIR}/man/tidegate.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES ${CMAKE_SOURCE_DIR}/completions/tidegate.bash
        DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME tidegate)
install(FILES ${CMAKE_SOURCE_DIR}/completions/_tidegate
        DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
install(FILES ${CMAKE_SOURCE_DIR}/completions/tidegate.fish
        DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
install(FILES ${CMAKE_SOURCE_DIR}/README.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY ${CMAKE_SOURCE_DIR}/docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR}
        FILES_MATCHING PATTERN "*.md")
install(FILES ${CMAKE_SOURCE_DIR}/third_party/duckdb/LICENSE
        DESTINATION ${CMAKE_INSTALL_DOCDIR} RENAME LICENSE.duckdb)
install(DIRECTORY ${CMAKE_SOURCE_DIR}/examples DESTINATION ${CMAKE_INSTALL_DOCDIR}
        PATTERN data EXCLUDE PATTERN published EXCLUDE PATTERN .tidegate EXCLUDE)
