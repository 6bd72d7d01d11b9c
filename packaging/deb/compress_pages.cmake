# SPDX-License-Identifier: BSD-2-Clause
# Debian wants manual pages compressed, with nothing in them that changes from build to build.
find_program(gzip gzip REQUIRED)
file(GLOB_RECURSE pages ${CPACK_TEMPORARY_DIRECTORY}/usr/share/man/*.[1-8])
if(pages)
  execute_process(COMMAND ${gzip} -9nf ${pages} COMMAND_ERROR_IS_FATAL ANY)
endif()
