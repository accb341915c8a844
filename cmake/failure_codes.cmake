# What docs/errors.md says of failures, put into the program: the tables between its marks become texts
# that src/base/failure_codes.cc reads. Run as a script (cmake -P) with PAGE and MADE.
if(CMAKE_SCRIPT_MODE_FILE)
  file(READ ${PAGE} page)
  set(made "#include <string_view>\n\nnamespace tidegate {\n")
  foreach(name classes evidence failures)
    string(FIND "${page}" "<!-- ${name}: begin -->" begin)
    string(FIND "${page}" "<!-- ${name}: end -->" end)
    if(begin LESS 0 OR end LESS begin)
      message(FATAL_ERROR "${PAGE} has no table between the marks of \"${name}\"")
    endif()
    math(EXPR length "${end} - ${begin}")
    string(SUBSTRING "${page}" ${begin} ${length} table)
    string(APPEND made "extern const std::string_view kPage_${name};\n"
                       "const std::string_view kPage_${name} = R\"PAGE(${table})PAGE\";\n")
  endforeach()
  string(APPEND made "}  // namespace tidegate\n")
  file(WRITE ${MADE} "${made}")
  return()
endif()

set(failure_codes_page ${CMAKE_SOURCE_DIR}/docs/errors.md)
set(failure_codes_made ${CMAKE_BINARY_DIR}/failure_codes_page.cc)
add_custom_command(
  OUTPUT ${failure_codes_made}
  COMMAND ${CMAKE_COMMAND} -DPAGE=${failure_codes_page} -DMADE=${failure_codes_made}
          -P ${CMAKE_SOURCE_DIR}/cmake/failure_codes.cmake
  DEPENDS ${failure_codes_page} ${CMAKE_SOURCE_DIR}/cmake/failure_codes.cmake
  VERBATIM)
