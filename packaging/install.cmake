# SPDX-License-Identifier: BSD-2-Clause
# What `cmake --install` puts where. Included by the top CMakeLists.txt after all targets exist; `tools` lists the programs.
# `cmake --install` alone is for a prefix: the library in its lib. debian/rules installs `multiarch` of the same
# build, and what belongs to no component: the library in the folder of Debian's architecture, where the loader finds it.
include(GNUInstallDirs)

set(installed_programs unetmapd ${tools})
list(REMOVE_DUPLICATES installed_programs)

# What only the daemon and the library start: src/daemon/plug/worker.cc and src/wire/start_keeper.cc look there.
set(helper_dir ${CMAKE_INSTALL_LIBEXECDIR}/unetmap)

# lb and bridge are programs of live-build and iproute2 too: ours have names of their own, and the short ones in a folder
# that `unetmap run` puts into PATH.
set(renamed_programs lb bridge)
foreach(program IN LISTS renamed_programs)
  set_target_properties(${program} PROPERTIES OUTPUT_NAME netmap-${program})
endforeach()
set(short_names ${helper_dir}/bin)

# Programs find the library of their own prefix, so that a prefix outside the loader's path works as it is.
set(loads_library)
function(library_from folder)
  file(RELATIVE_PATH to_lib ${CMAKE_INSTALL_PREFIX}/${folder} ${CMAKE_INSTALL_FULL_LIBDIR})
  set_target_properties(${ARGN} PROPERTIES INSTALL_RPATH "$ORIGIN/${to_lib}")
  install(TARGETS ${ARGN} RUNTIME DESTINATION ${folder})
  foreach(program IN LISTS ARGN)
    list(APPEND loads_library ${folder}/$<TARGET_FILE_NAME:${program}>)
  endforeach()
  set(loads_library ${loads_library} PARENT_SCOPE)
endfunction()
library_from(${CMAKE_INSTALL_BINDIR} ${installed_programs})
if(helpers)
  library_from(${helper_dir} ${helpers})
endif()

install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  FILES_MATCHING PATTERN "*.h" PATTERN "*.hh")

# Second names: valectl is FreeBSD's for vale-ctl, and programs written for netmap's own library link with -lnetmap.
set(aliases ${CMAKE_CURRENT_BINARY_DIR}/aliases)
file(MAKE_DIRECTORY ${aliases}/short ${CMAKE_RUNTIME_OUTPUT_DIRECTORY} ${CMAKE_LIBRARY_OUTPUT_DIRECTORY})
function(second_name first second build_folder)
  file(CREATE_LINK ${first} ${build_folder}/${second} SYMBOLIC)
  file(CREATE_LINK ${first} ${aliases}/${second} SYMBOLIC)
endfunction()
second_name(vale-ctl valectl ${CMAKE_RUNTIME_OUTPUT_DIRECTORY})
install(FILES ${aliases}/valectl DESTINATION ${CMAKE_INSTALL_BINDIR})
file(RELATIVE_PATH short_to_bin ${CMAKE_INSTALL_PREFIX}/${short_names} ${CMAKE_INSTALL_FULL_BINDIR})
foreach(program IN LISTS renamed_programs)
  if(IS_SYMLINK ${CMAKE_RUNTIME_OUTPUT_DIRECTORY}/netmap-${program})
    file(REMOVE ${CMAKE_RUNTIME_OUTPUT_DIRECTORY}/netmap-${program})  # of an older build
  endif()
  file(CREATE_LINK netmap-${program} ${CMAKE_RUNTIME_OUTPUT_DIRECTORY}/${program} SYMBOLIC)
  file(CREATE_LINK ${short_to_bin}/netmap-${program} ${aliases}/short/${program} SYMBOLIC)
  install(FILES ${aliases}/short/${program} DESTINATION ${short_names})
endforeach()
second_name(libunetmap.so libnetmap.so ${CMAKE_LIBRARY_OUTPUT_DIRECTORY})

# Wireshark runs what lies in wireshark/extcap, to learn of interfaces and to capture on them: below lib, from 4.6 on below
# libexec.
function(extcap_in folder)
  set(extcap ${folder}/wireshark/extcap)
  file(RELATIVE_PATH extcap_to_bin ${CMAKE_INSTALL_PREFIX}/${extcap} ${CMAKE_INSTALL_FULL_BINDIR})
  configure_file(packaging/unetmap-extcap.in ${CMAKE_CURRENT_BINARY_DIR}/extcap/${folder}/unetmap-extcap @ONLY)
  install(PROGRAMS ${CMAKE_CURRENT_BINARY_DIR}/extcap/${folder}/unetmap-extcap DESTINATION ${extcap} ${ARGN})
endfunction()
extcap_in(${CMAKE_INSTALL_LIBEXECDIR})

# What lies in the library's folder or says where that is: one component for each such folder.
function(library_in libdir)
  install(TARGETS unetmap LIBRARY DESTINATION ${libdir} ${ARGN})
  install(FILES ${aliases}/libnetmap.so DESTINATION ${libdir} ${ARGN})
  # The pkg-config files find their prefix from where they lie.
  file(RELATIVE_PATH pc_to_prefix ${CMAKE_INSTALL_PREFIX}/${libdir}/pkgconfig ${CMAKE_INSTALL_PREFIX})
  string(REGEX REPLACE "/$" "" pc_to_prefix "${pc_to_prefix}")
  foreach(pc unetmap libnetmap)
    configure_file(packaging/${pc}.pc.in ${CMAKE_CURRENT_BINARY_DIR}/pkgconfig/${libdir}/${pc}.pc @ONLY)
    install(FILES ${CMAKE_CURRENT_BINARY_DIR}/pkgconfig/${libdir}/${pc}.pc DESTINATION ${libdir}/pkgconfig ${ARGN})
  endforeach()
  extcap_in(${libdir} ${ARGN})
endfunction()
library_in(${CMAKE_INSTALL_LIBDIR} COMPONENT prefix)
if(CMAKE_LIBRARY_ARCHITECTURE)
  library_in(lib/${CMAKE_LIBRARY_ARCHITECTURE} COMPONENT multiarch EXCLUDE_FROM_ALL)
  # The loader looks in that folder by itself.
  install(CODE "
    foreach(program ${loads_library})
      file(RPATH_REMOVE FILE \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/\${program}\")
    endforeach()" COMPONENT multiarch EXCLUDE_FROM_ALL)
endif()

file(GLOB man_pages CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tools/*/*.[1-8] ${PROJECT_SOURCE_DIR}/src/daemon/*.[1-8]
  ${PROJECT_SOURCE_DIR}/docs/man/*.[1-8] ${PROJECT_SOURCE_DIR}/scripts/*.[1-8])
foreach(page IN LISTS man_pages)
  string(REGEX REPLACE ".*\\.([1-8])$" "\\1" section ${page})
  install(FILES ${page} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
endforeach()

file(GLOB scripts CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/scripts/*.sh)
install(PROGRAMS ${scripts} DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/scripts/bpftrace DESTINATION ${CMAKE_INSTALL_DATADIR}/unetmap
  FILES_MATCHING PATTERN "*.bt")
# What launch-qemu.sh makes its guest with.
install(PROGRAMS ${PROJECT_SOURCE_DIR}/vm/make-guest.py DESTINATION ${CMAKE_INSTALL_DATADIR}/unetmap/vm)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/vm/guestimage DESTINATION ${CMAKE_INSTALL_DATADIR}/unetmap/vm
  USE_SOURCE_PERMISSIONS PATTERN "__pycache__" EXCLUDE)
install(FILES ${PROJECT_SOURCE_DIR}/vm/libvirt-vhostuser.xml ${PROJECT_SOURCE_DIR}/vm/libvirt-e1000.xml
  DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/unetmap/examples)

# What shells complete; bash looks for a file of the program's name.
set(completed unetmap pkt-gen vale-ctl valectl netmap-bridge netmap-lb nmreplay tlem l2open l2send l2recv)
foreach(program IN LISTS completed)
  install(FILES ${PROJECT_SOURCE_DIR}/packaging/completion/unetmap.bash
    DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME ${program})
endforeach()
install(FILES ${PROJECT_SOURCE_DIR}/packaging/completion/_unetmap DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)

# unetmap-lab and its exercises.
install(PROGRAMS ${PROJECT_SOURCE_DIR}/lab/unetmap-lab DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/lab/unetmap_lab DESTINATION ${CMAKE_INSTALL_DATADIR}/unetmap/lab
  PATTERN "__pycache__" EXCLUDE)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/lab/exercises/ DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/unetmap/labs)

# Podman's: netavark looks for the drivers of networks there, by their names.
install(PROGRAMS ${PROJECT_SOURCE_DIR}/packaging/netavark/unetmap DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/netavark)

# Small programs to begin with: unetmap-tutorial(7).
file(GLOB examples CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/examples/*)
install(FILES ${examples} DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/unetmap/examples)

# How management software finds what serves vhost-user devices. The description has the whole path, which is known when it is
# installed; the one made here is for this build.
file(RELATIVE_PATH vhost_user_to_bin ${CMAKE_INSTALL_PREFIX}/${helper_dir} ${CMAKE_INSTALL_FULL_BINDIR})
configure_file(packaging/unetmap-vhost-user-net.in ${CMAKE_CURRENT_BINARY_DIR}/unetmap-vhost-user-net @ONLY)
install(PROGRAMS ${CMAKE_CURRENT_BINARY_DIR}/unetmap-vhost-user-net DESTINATION ${helper_dir})
set(vhost_user_dir ${CMAKE_CURRENT_BINARY_DIR})
configure_file(packaging/50-unetmap-net.json.in ${CMAKE_CURRENT_BINARY_DIR}/50-unetmap-net.json @ONLY)
install(CODE "
  set(vhost_user_dir \"\${CMAKE_INSTALL_PREFIX}/${helper_dir}\")
  set(description \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_DATADIR}/qemu/vhost-user/50-unetmap-net.json\")
  message(STATUS \"Installing: \${description}\")
  configure_file(\"${PROJECT_SOURCE_DIR}/packaging/50-unetmap-net.json.in\" \"\${description}\" @ONLY)")

install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/unetmap COMPONENT prefix)
set(units unetmapd.service unetmapd.socket unetmap-apply.service)
list(TRANSFORM units PREPEND packaging/systemd/ OUTPUT_VARIABLE system_units)
list(TRANSFORM units PREPEND packaging/systemd/user/ OUTPUT_VARIABLE user_units)
install(FILES ${system_units} DESTINATION lib/systemd/system)
install(FILES ${user_units} DESTINATION lib/systemd/user)
