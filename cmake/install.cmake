# What `make install` lays down beside the programs and the library: manual pages, completion,
# the service and its configuration. DESTDIR and PREFIX as everywhere; component `devel`
# (see library/) is what only a program that is built against gantry needs.

include(GNUInstallDirs)

file(GLOB man_pages CONFIGURE_DEPENDS docs/man/*.1 docs/man/*.7 docs/man/*.8)
foreach(page ${man_pages})
  string(REGEX REPLACE "^.*\\.([0-9])$" "\\1" section ${page})
  install(FILES ${page} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section} COMPONENT runtime)
endforeach()

install(PROGRAMS packaging/gantry-stop DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/gantry
        COMPONENT runtime)

# The unit names absolute paths, which are known only now: --prefix may be given to the install.
install(CODE "
  set(GANTRY_BINDIR \${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR})
  set(GANTRY_LIBEXECDIR \${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_LIBEXECDIR})
  set(unit \$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/lib/systemd/system/gantry.service)
  message(STATUS \"Installing: \${unit}\")
  configure_file(\"${PROJECT_SOURCE_DIR}/packaging/gantry.service.in\" \${unit} @ONLY)

  message(STATUS \"Installing: gantry.socket beside it\")
  file(INSTALL \"${PROJECT_SOURCE_DIR}/packaging/gantry.socket\"
       DESTINATION \${CMAKE_INSTALL_PREFIX}/lib/systemd/system)

  # What the administrator has written is never written over.
  set(config \$ENV{DESTDIR}/etc/gantry/gantryd.toml)
  if(NOT EXISTS \${config})
    message(STATUS \"Installing: \${config}\")
    file(INSTALL \"${PROJECT_SOURCE_DIR}/packaging/gantryd.toml\"
         DESTINATION /etc/gantry)
  endif()

  foreach(place bash=bash-completion/completions/gantry zsh=zsh/site-functions/_gantry
                fish=fish/vendor_completions.d/gantry.fish)
    string(REPLACE = \";\" words \${place})
    list(GET words 0 shell)
    list(GET words 1 path)
    set(file \$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_DATADIR}/\${path})
    cmake_path(GET file PARENT_PATH directory)
    file(MAKE_DIRECTORY \${directory})
    message(STATUS \"Installing: \${file}\")
    execute_process(COMMAND \"$<TARGET_FILE:gantry>\" completion \${shell}
                    OUTPUT_FILE \${file} COMMAND_ERROR_IS_FATAL ANY)
  endforeach()
" COMPONENT runtime)
