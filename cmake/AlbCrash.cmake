# SPDX-License-Identifier: Apache-2.0
# cmake/AlbCrash.cmake – tests/crash: a preloaded library, the drivers, tests of flipped bytes.

# crash_<who>.c are drivers, ctest entries with 50 cycles each; test_*.c and flip_*.c are ordinary
# tests. Modules stand in the `LINKS:` comment of each.
function(alb_crash_tests)
    set(path ${ALB_TESTS}/crash)
    alb_view(view crash crash ${path})
    add_library(powerloss SHARED ${path}/powerloss.c ${path}/powerloss_track.c)
    target_include_directories(powerloss PRIVATE ${view})
    target_link_libraries(powerloss PRIVATE Threads::Threads alb_warnings)
    # It is there before any sanitizer is, so it has none.
    target_compile_options(powerloss PRIVATE -fno-sanitize=all -fvisibility=hidden)
    target_link_options(powerloss PRIVATE -fno-sanitize=all)

    set(drive ${path}/drive.c ${path}/expect.c ${path}/chunks.c ${path}/rebuild.c
        ${path}/rebuild_bytes.c ${path}/die_at.c)
    file(GLOB sources CONFIGURE_DEPENDS ${path}/crash_*.c ${path}/test_*.c ${path}/flip_*.c)
    foreach(source IN LISTS sources)
        cmake_path(GET source STEM name)
        string(REGEX REPLACE "^test_" "crash_unit_" name ${name})
        alb_links_of(${source} modules)
        alb_test_executable(${name} ${source} "${modules}" ${drive})
        target_include_directories(${name} PRIVATE ${view})
        target_compile_definitions(${name} PRIVATE
            ALB_POWERLOSS_SO="$<TARGET_FILE:powerloss>")
        add_dependencies(${name} powerloss)
        add_test(NAME ${name} COMMAND ${name})
        alb_test_properties(${name} crash 300)
    endforeach()
endfunction()
