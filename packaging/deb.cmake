# SPDX-License-Identifier: BSD-2-Clause
# `cpack -G DEB`: one package with the library, headers, programs and pages.
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/unetmap RENAME copyright)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME unetmap)
set(CPACK_PACKAGE_VENDOR "the unetmap authors")
set(CPACK_PACKAGE_CONTACT "the unetmap authors <unetmap@localhost>")
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "netmap API and VALE switches in user space")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_VERBATIM_VARIABLES ON)
set(CPACK_PRE_BUILD_SCRIPTS ${PROJECT_SOURCE_DIR}/packaging/deb/compress_pages.cmake)

set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${CMAKE_LIBRARY_OUTPUT_DIRECTORY})
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${PROJECT_SOURCE_DIR}/packaging/deb/prerm)
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
  "Runs programs written for netmap on a stock Linux kernel: ports of VALE
learning switches, pipes and monitors live in shared memory, and a daemon
that starts with the first program keeps their names and lifetimes. Nothing
has to be loaded into the kernel.
.
Contains the library (for linking and for unmodified programs), headers,
the daemon, and the programs pkt-gen, vale-ctl, bridge and unetmap.")
include(CPack)
