# SPDX-License-Identifier: BSD-2-Clause
# What `cmake --install` puts where. Included by the top CMakeLists.txt after all targets exist; `tools` lists the programs.
include(GNUInstallDirs)

set(installed_programs unetmapd ${helpers} ${tools})
list(REMOVE_DUPLICATES installed_programs)

# Programs find the library of their own prefix, so that a prefix outside the loader's path works as it is.
file(RELATIVE_PATH bin_to_lib ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR})
set_target_properties(${installed_programs} PROPERTIES INSTALL_RPATH "$ORIGIN/${bin_to_lib}")

install(TARGETS unetmap LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS ${installed_programs} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  FILES_MATCHING PATTERN "*.h" PATTERN "*.hh")

# Second names: valectl is FreeBSD's for vale-ctl, netmap-bridge tells ours from iproute2's bridge, and programs written
# for netmap's own library link with -lnetmap.
set(aliases ${CMAKE_CURRENT_BINARY_DIR}/aliases)
file(MAKE_DIRECTORY ${aliases} ${CMAKE_RUNTIME_OUTPUT_DIRECTORY} ${CMAKE_LIBRARY_OUTPUT_DIRECTORY})
function(second_name target first second build_folder install_folder)
  if(TARGET ${target})
    file(CREATE_LINK ${first} ${build_folder}/${second} SYMBOLIC)
    file(CREATE_LINK ${first} ${aliases}/${second} SYMBOLIC)
    install(FILES ${aliases}/${second} DESTINATION ${install_folder})
  endif()
endfunction()
second_name(vale-ctl vale-ctl valectl ${CMAKE_RUNTIME_OUTPUT_DIRECTORY} ${CMAKE_INSTALL_BINDIR})
second_name(bridge bridge netmap-bridge ${CMAKE_RUNTIME_OUTPUT_DIRECTORY} ${CMAKE_INSTALL_BINDIR})
second_name(unetmap libunetmap.so libnetmap.so ${CMAKE_LIBRARY_OUTPUT_DIRECTORY} ${CMAKE_INSTALL_LIBDIR})

# The pkg-config files find their prefix from where they lie.
set(pkgconfig_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
file(RELATIVE_PATH pc_to_prefix ${CMAKE_INSTALL_PREFIX}/${pkgconfig_dir} ${CMAKE_INSTALL_PREFIX})
string(REGEX REPLACE "/$" "" pc_to_prefix "${pc_to_prefix}")
foreach(pc unetmap libnetmap)
  configure_file(packaging/${pc}.pc.in ${CMAKE_CURRENT_BINARY_DIR}/${pc}.pc @ONLY)
  install(FILES ${CMAKE_CURRENT_BINARY_DIR}/${pc}.pc DESTINATION ${pkgconfig_dir})
endforeach()

file(GLOB man_pages CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tools/*/*.[1-8] ${PROJECT_SOURCE_DIR}/src/daemon/*.[1-8]
  ${PROJECT_SOURCE_DIR}/docs/man/*.[1-8] ${PROJECT_SOURCE_DIR}/scripts/*.[1-8])
foreach(page IN LISTS man_pages)
  string(REGEX REPLACE ".*\\.([1-8])$" "\\1" section ${page})
  install(FILES ${page} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
endforeach()

file(GLOB scripts CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/scripts/*.sh)
install(PROGRAMS ${scripts} DESTINATION ${CMAKE_INSTALL_BINDIR})
# What launch-qemu.sh makes its guest with.
install(PROGRAMS ${PROJECT_SOURCE_DIR}/vm/make-guest.py DESTINATION ${CMAKE_INSTALL_DATADIR}/unetmap/vm)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/vm/guestimage DESTINATION ${CMAKE_INSTALL_DATADIR}/unetmap/vm
  PATTERN "__pycache__" EXCLUDE)
install(FILES ${PROJECT_SOURCE_DIR}/vm/libvirt-vhostuser.xml DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/unetmap/examples)

# Wireshark runs what lies there, to learn of interfaces and to capture on them.
file(RELATIVE_PATH extcap_to_bin ${CMAKE_INSTALL_FULL_LIBDIR}/wireshark/extcap ${CMAKE_INSTALL_FULL_BINDIR})
configure_file(packaging/unetmap-extcap.in ${CMAKE_CURRENT_BINARY_DIR}/unetmap-extcap @ONLY)
install(PROGRAMS ${CMAKE_CURRENT_BINARY_DIR}/unetmap-extcap DESTINATION ${CMAKE_INSTALL_LIBDIR}/wireshark/extcap)

# How management software finds what serves vhost-user devices.
set(vhost_user_dir ${CMAKE_INSTALL_FULL_LIBDIR}/unetmap)
file(RELATIVE_PATH vhost_user_to_bin ${vhost_user_dir} ${CMAKE_INSTALL_FULL_BINDIR})
configure_file(packaging/unetmap-vhost-user-net.in ${CMAKE_CURRENT_BINARY_DIR}/unetmap-vhost-user-net @ONLY)
configure_file(packaging/50-unetmap-net.json.in ${CMAKE_CURRENT_BINARY_DIR}/50-unetmap-net.json @ONLY)
install(PROGRAMS ${CMAKE_CURRENT_BINARY_DIR}/unetmap-vhost-user-net DESTINATION ${CMAKE_INSTALL_LIBDIR}/unetmap)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/50-unetmap-net.json DESTINATION ${CMAKE_INSTALL_DATADIR}/qemu/vhost-user)

install(FILES packaging/systemd/unetmapd.service packaging/systemd/unetmapd.socket DESTINATION lib/systemd/system)
install(FILES packaging/systemd/user/unetmapd.service packaging/systemd/user/unetmapd.socket
  DESTINATION lib/systemd/user)

include(packaging/deb.cmake)
