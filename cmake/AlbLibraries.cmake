# SPDX-License-Identifier: Apache-2.0
# cmake/AlbLibraries.cmake – the third-party libraries; packaging/deps installs them.

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(OpenSSL 3.0 REQUIRED)
pkg_check_modules(ZSTD    REQUIRED IMPORTED_TARGET libzstd)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
pkg_check_modules(CONFUSE REQUIRED IMPORTED_TARGET libconfuse)
pkg_check_modules(EVENT   REQUIRED IMPORTED_TARGET libevent_core libevent_pthreads)
pkg_check_modules(NGHTTP2 REQUIRED IMPORTED_TARGET libnghttp2)
pkg_check_modules(MNL     REQUIRED IMPORTED_TARGET libmnl)

# RocksDB's own pkg-config file asks for the static libraries it was built with, so look for the
# shared library and the C header by hand.
find_library(ROCKSDB_LIBRARY rocksdb REQUIRED)
find_path(ROCKSDB_INCLUDE_DIR rocksdb/c.h REQUIRED)
add_library(rocksdb UNKNOWN IMPORTED)
set_target_properties(rocksdb PROPERTIES
    IMPORTED_LOCATION ${ROCKSDB_LIBRARY}
    INTERFACE_INCLUDE_DIRECTORIES ${ROCKSDB_INCLUDE_DIR})
