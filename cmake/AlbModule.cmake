# SPDX-License-Identifier: Apache-2.0
# cmake/AlbModule.cmake – a folder as a library that sees only the folders it declares.
#
# Every folder gets a *view*: a directory in the build tree that holds links to its headers under
# the path people write, so `#include "net/loop.h"` resolves for those who list `net` and for
# nobody else; there is no -I of the source tree. Libraries are linked PRIVATE: the archives a
# program needs are found for it, but no include path is ever inherited.

# Makes ${target}'s view of the headers in `path`, included as "folder/x.h"; sets `out` to it.
function(alb_view out target folder path)
    set(view ${CMAKE_BINARY_DIR}/view/${target})
    set(links ${view}/${folder})
    file(MAKE_DIRECTORY ${links})
    file(GLOB headers CONFIGURE_DEPENDS RELATIVE ${path} ${path}/*.h ${path}/*.def)
    file(GLOB stale RELATIVE ${links} ${links}/*)
    if(headers)
        list(REMOVE_ITEM stale ${headers})
    endif()
    foreach(header IN LISTS stale)
        file(REMOVE ${links}/${header})
    endforeach()
    foreach(header IN LISTS headers)
        file(CREATE_LINK ${path}/${header} ${links}/${header} SYMBOLIC)
    endforeach()
    set(${out} ${view} PARENT_SCOPE)
endfunction()

# A static library `target` of `sources`; with no sources yet, one of headers only.
function(alb_library target view sources libraries)
    if(sources)
        add_library(${target} STATIC ${sources})
        target_include_directories(${target} PUBLIC ${view})
        target_link_libraries(${target} PRIVATE ${libraries} alb_warnings)
    else()
        add_library(${target} INTERFACE)
        target_include_directories(${target} INTERFACE ${view})
        foreach(library IN LISTS libraries)
            target_link_libraries(${target} INTERFACE $<LINK_ONLY:${library}>)
        endforeach()
    endif()
endfunction()

# alb_module(folder DEPENDS modules… USES libraries…); folder a/b makes target a_b.
function(alb_module folder)
    cmake_parse_arguments(M "" "" "DEPENDS;USES" ${ARGN})
    string(REPLACE / _ target ${folder})
    set(path ${CMAKE_SOURCE_DIR}/${folder})
    file(GLOB sources CONFIGURE_DEPENDS ${path}/*.c)
    list(REMOVE_ITEM sources ${path}/main.c) # alb_program() takes it
    alb_view(view ${target} ${folder} ${path})
    alb_library(${target} ${view} "${sources}" "${M_DEPENDS};${M_USES}")
    set_property(GLOBAL PROPERTY ALB_DEPENDS_${target} ${M_DEPENDS})
    set_property(GLOBAL PROPERTY ALB_FOLDER_${target} ${folder})
    set_property(GLOBAL APPEND PROPERTY ALB_MODULES ${target})
endfunction()

# alb_program(folder name DEPENDS modules…): the folder as a module, so that unit tests can link
# it, and its main.c as the executable `name`.
function(alb_program folder name)
    cmake_parse_arguments(P "" "" "DEPENDS" ${ARGN})
    alb_module(${folder} DEPENDS ${P_DEPENDS})
    file(GLOB main CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${folder}/main.c)
    if(main)
        add_executable(${name} ${main})
        target_link_libraries(${name} PRIVATE ${folder} ${P_DEPENDS} alb_warnings)
        install(TARGETS ${name})
        set_property(GLOBAL APPEND PROPERTY ALB_PROGRAMS ${name})
    endif()
endfunction()

# Integer bugs live in these folders: every narrowing there must be written down.
function(alb_strict_conversions)
    foreach(target IN LISTS ARGN)
        get_target_property(type ${target} TYPE)
        if(NOT type STREQUAL INTERFACE_LIBRARY)
            target_compile_options(${target} PRIVATE -Wconversion)
        endif()
    endforeach()
endfunction()
