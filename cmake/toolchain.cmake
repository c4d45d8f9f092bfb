# How every target is compiled: warnings, sanitizers, the fast tools where they are found.

option(GANTRY_SANITIZE "Build with AddressSanitizer and UndefinedBehaviorSanitizer" OFF)
option(GANTRY_WERROR "Treat warnings as errors" ON)
option(GANTRY_SHARED "Build libgantry.so too; everything is then position-independent" OFF)
option(GANTRY_LIBFUZZER "Make the fuzzers of tests/fuzz; needs clang" OFF)

# One cache for every clone and every build directory: paths below the tree are hashed relative
# to where the compiler runs. (A build directory made before this came keeps its launcher:
# another one would rebuild all of it.)
find_program(GANTRY_CCACHE_PROGRAM ccache)
if(DEFINED CACHE{GANTRY_CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${GANTRY_CCACHE})
elseif(GANTRY_CCACHE_PROGRAM)
  set(CMAKE_CXX_COMPILER_LAUNCHER
      ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} CCACHE_NOHASHDIR=1
      CCACHE_SLOPPINESS=pch_defines,time_macros ${GANTRY_CCACHE_PROGRAM})
endif()

add_link_options(-Wl,--as-needed) # the command line must not load what only the daemon uses

find_program(GANTRY_MOLD mold)
if(GANTRY_MOLD)
  add_link_options(-fuse-ld=mold)
endif()

add_compile_options(-Wall -Wextra -Wpedantic -Wshadow=local -Wnon-virtual-dtor
                    -Wimplicit-fallthrough)
if(GANTRY_WERROR)
  add_compile_options(-Werror)
endif()

if(CMAKE_UNITY_BUILD)
  add_compile_options(-Wno-subobject-linkage) # What is private to a file is no header's here.
endif()

if(GANTRY_SHARED)
  set(CMAKE_POSITION_INDEPENDENT_CODE ON)
  add_compile_options(-fvisibility=hidden -fvisibility-inlines-hidden)
endif()

if(GANTRY_SANITIZE)
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all
                      -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
endif()

if(GANTRY_LIBFUZZER)
  add_compile_options(-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
                      -fno-omit-frame-pointer -g1)
  add_link_options(-fsanitize=address,undefined)
endif()

# gantry_library(NAME folder-libs...): one static library from the .cpp files of this folder.
function(gantry_library name)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  if(NOT sources)
    set(sources ${PROJECT_BINARY_DIR}/empty.cpp)
    file(TOUCH ${sources})
  endif()
  add_library(${name} STATIC ${sources})
  target_include_directories(${name} PUBLIC ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name} PUBLIC ${ARGN})
endfunction()

# gantry_test(NAME libs...): one Catch2 program from the *_test.cpp files of this folder.
function(gantry_test name)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*_test.cpp)
  if(NOT sources)
    return()
  endif()
  add_executable(${name} ${sources})
  target_link_libraries(${name} PRIVATE gantry_test_main ${ARGN})
  add_test(NAME ${name} COMMAND ${name})
endfunction()
