# The libraries, all from Debian 12 (scripts/packages.txt lists the packages).

find_package(Threads REQUIRED)

# Debian's libcaf-dev has no CMake package.
find_path(GANTRY_CAF_INCLUDE caf/all.hpp REQUIRED)
find_library(GANTRY_CAF_CORE caf_core REQUIRED)
add_library(caf_core SHARED IMPORTED)
set_target_properties(caf_core PROPERTIES IMPORTED_LOCATION ${GANTRY_CAF_CORE}
                                          INTERFACE_INCLUDE_DIRECTORIES ${GANTRY_CAF_INCLUDE})
target_link_libraries(caf_core INTERFACE Threads::Threads)
# CAF's header detail/init_fun_factory.hpp binds a reference to a null pointer for each actor
# that is spawned without arguments. A real null access is still caught by the address side. The
# other three find nothing on this machine that ASan does not find, and double the build's time.
if(GANTRY_SANITIZE)
  target_compile_options(caf_core INTERFACE -fno-sanitize=null,vptr,alignment,object-size)
endif()

find_package(Protobuf REQUIRED)
find_package(spdlog REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(tomlplusplus REQUIRED)
find_package(CLI11 REQUIRED)
find_package(Catch2 2.13 REQUIRED)
find_package(benchmark REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(uring REQUIRED IMPORTED_TARGET liburing)
pkg_check_modules(zstd REQUIRED IMPORTED_TARGET libzstd)
pkg_check_modules(nghttp2 REQUIRED IMPORTED_TARGET libnghttp2)
pkg_check_modules(openssl REQUIRED IMPORTED_TARGET openssl)
