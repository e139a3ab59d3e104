# SPDX-License-Identifier: Apache-2.0
# cmake/AlbTest.cmake – turns the files under tests/ into executables and ctest entries.

set(ALB_TESTS ${CMAKE_SOURCE_DIR}/tests)

# Labels, a time limit and the sanitizers' manners for the ctest entry `name`.
function(alb_test_properties name label timeout_s)
    if(ALB_TSAN OR ALB_COVERAGE)
        math(EXPR timeout_s "4 * ${timeout_s}") # they cost several times the run
    endif()
    set_tests_properties(${name} PROPERTIES
        LABELS ${label}
        TIMEOUT ${timeout_s}
        ENVIRONMENT "UBSAN_OPTIONS=print_stacktrace=1;ALB_BIN_DIR=${CMAKE_BINARY_DIR}/bin")
    if(ALB_TSAN)
        # Into files, since what a daemon under test prints is not always looked at.
        # Some tests fork a child to kill it; that it has threads of its own is no fault.
        set(tsan suppressions=${ALB_TESTS}/tsan.supp log_path=${CMAKE_BINARY_DIR}/races/${name}
                 die_after_fork=0)
        list(JOIN tsan " " tsan)
        set_property(TEST ${name} APPEND PROPERTY ENVIRONMENT "TSAN_OPTIONS=${tsan}")
    endif()
endfunction()

function(alb_test_executable name source modules)
    add_executable(${name} ${source} ${ARGN})
    target_link_libraries(${name} PRIVATE ${modules} support PkgConfig::CMOCKA alb_warnings)
    set_target_properties(${name} PROPERTIES
        RUNTIME_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR})
endfunction()

# The modules that a test file names in its `LINKS:` comment.
function(alb_links_of source out)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${source})
    file(STRINGS ${source} lines LIMIT_COUNT 1 REGEX "LINKS:")
    string(REGEX REPLACE ".*LINKS:|\\*/" "" lines "${lines}")
    string(REGEX MATCHALL "[a-z_]+" modules "${lines}")
    foreach(module IN LISTS modules)
        if(NOT TARGET ${module})
            message(FATAL_ERROR "${source}: LINKS names '${module}', which is no module")
        endif()
    endforeach()
    set(${out} ${modules} PARENT_SCOPE)
endfunction()

# tests/unit/<module>/test_<file>.c links that module and what it depends on, nothing else, but for
# a `LINKS: sim_world` where it takes two ends to test.
function(alb_unit_tests)
    get_property(modules GLOBAL PROPERTY ALB_MODULES)
    file(GLOB sources CONFIGURE_DEPENDS ${ALB_TESTS}/unit/*/test_*.c)
    foreach(source IN LISTS sources)
        cmake_path(GET source PARENT_PATH folder)
        cmake_path(GET folder FILENAME module)
        cmake_path(GET source STEM file)
        if(NOT module IN_LIST modules)
            message(FATAL_ERROR "${source}: there is no module '${module}' to test")
        endif()
        string(REGEX REPLACE "^test_" "unit_${module}_" name ${file})
        get_property(depends GLOBAL PROPERTY ALB_DEPENDS_${module})
        alb_links_of(${source} more)
        alb_test_executable(${name} ${source} "${module};${depends};${more}")
        add_test(NAME ${name} COMMAND ${name})
        alb_test_properties(${name} unit 120)
    endforeach()
endfunction()

# tests/<kind>/<kind>_<thing>.c, for laws (prop) and injected failures (fault).
function(alb_generated_tests kind timeout_s)
    file(GLOB sources CONFIGURE_DEPENDS ${ALB_TESTS}/${kind}/${kind}_*.c)
    foreach(source IN LISTS sources)
        cmake_path(GET source STEM name)
        alb_links_of(${source} modules)
        alb_test_executable(${name} ${source} "${modules}")
        add_test(NAME ${name} COMMAND ${name})
        alb_test_properties(${name} ${kind} ${timeout_s})
        set_tests_properties(${name} PROPERTIES SKIP_RETURN_CODE 77) # built without ALB_FAULT
        if(kind STREQUAL fault)
            set_tests_properties(${name} PROPERTIES COST 60) # the long ones first
        endif()
    endforeach()
endfunction()

# tests/fuzz/fuzz_<decoder>.c with libFuzzer, in place of the replays; `fuzzers` builds them all.
function(alb_fuzzers)
    set(entry ${ALB_TESTS}/fuzz/bound.c)
    alb_view(view fuzz fuzz ${ALB_TESTS}/fuzz)
    add_custom_target(fuzzers)
    file(GLOB sources CONFIGURE_DEPENDS ${ALB_TESTS}/fuzz/fuzz_*.c)
    foreach(source IN LISTS sources)
        cmake_path(GET source STEM name)
        alb_links_of(${source} modules)
        alb_test_executable(${name} ${source} "${modules}" ${entry})
        target_include_directories(${name} PRIVATE ${view})
        target_link_options(${name} PRIVATE -fsanitize=fuzzer)
        add_dependencies(fuzzers ${name})
    endforeach()
endfunction()

# tests/fuzz/fuzz_<decoder>.c with replay_main.c, run over tests/fuzz/corpus/<decoder>/.
function(alb_fuzz_replays)
    set(replay ${ALB_TESTS}/fuzz/replay_main.c ${ALB_TESTS}/fuzz/bound.c)
    alb_view(view fuzz fuzz ${ALB_TESTS}/fuzz)
    file(GLOB sources CONFIGURE_DEPENDS ${ALB_TESTS}/fuzz/fuzz_*.c)
    foreach(source IN LISTS sources)
        cmake_path(GET source STEM name)
        string(REGEX REPLACE "^fuzz_" "" decoder ${name})
        alb_links_of(${source} modules)
        alb_test_executable(${name} ${source} "${modules}" ${replay})
        target_include_directories(${name} PRIVATE ${view})
        add_test(NAME ${name} COMMAND ${name} ${ALB_TESTS}/fuzz/corpus/${decoder})
        alb_test_properties(${name} fuzz 120)
    endforeach()
endfunction()

# tests/sim/: the simulated world (net/loop.h's second back end) and the scenarios read and played
# on it, and layer versions made in memory, for whoever LINKS it; it needs no more than transfer.
function(alb_simulated_world)
    set(path ${ALB_TESTS}/sim)
    file(GLOB sources CONFIGURE_DEPENDS ${path}/world*.c ${path}/scenario*.c
         ${path}/cast_version.c ${path}/cast_holder.c)
    alb_view(view sim_world sim ${path})
    alb_library(sim_world ${view} "${sources}" "base;chunk;wire;store;net;shaper;transfer;support")
endfunction()

# tests/sim/: that world's own tests; the rest of it (hubs, reflectors, endpoints on virtual nodes)
# as a library; sim_run that plays a scenario, and a test for each scenario.
function(alb_simulation)
    set(modules base chunk wire store config image net shaper transfer hub reflector client)
    set(path ${ALB_TESTS}/sim)
    file(GLOB sources CONFIGURE_DEPENDS ${path}/*.c)
    list(FILTER sources EXCLUDE REGEX
         "/((world|scenario|cast_version|cast_holder|test_)[a-z_]*|sim_run)\\.c$")
    alb_view(view sim sim ${path})
    alb_library(sim ${view} "${sources}" "${modules};support;sim_world")
    file(GLOB tests CONFIGURE_DEPENDS ${path}/test_*.c)
    foreach(source IN LISTS tests)
        cmake_path(GET source STEM file)
        string(REGEX REPLACE "^test_" "sim_unit_" name ${file})
        alb_test_executable(${name} ${source} "sim_world;net;base")
        add_test(NAME ${name} COMMAND ${name})
        alb_test_properties(${name} sim 120)
    endforeach()
    if(NOT EXISTS ${path}/sim_run.c)
        return()
    endif()
    add_executable(sim_run ${path}/sim_run.c)
    target_link_libraries(sim_run PRIVATE sim sim_world ${modules} support alb_warnings)
    file(GLOB scenarios CONFIGURE_DEPENDS ${path}/*.scn)
    foreach(scenario IN LISTS scenarios)
        cmake_path(GET scenario STEM name)
        add_test(NAME sim_${name} COMMAND sim_run ${scenario})
        alb_test_properties(sim_${name} sim 300)
    endforeach()
endfunction()

# tests/bench/bench_<what>.c: programs that measure; no ctest entries (a shared machine is noisy).
function(alb_benches)
    file(GLOB sources CONFIGURE_DEPENDS ${ALB_TESTS}/bench/bench_*.c)
    foreach(source IN LISTS sources)
        cmake_path(GET source STEM name)
        alb_links_of(${source} modules)
        alb_test_executable(${name} ${source} "${modules}")
    endforeach()
endfunction()

# tests/emu/: the link emulator, a program that shares no code with what it measures.
function(alb_emulator)
    set(path ${ALB_TESTS}/emu)
    file(GLOB sources CONFIGURE_DEPENDS ${path}/*.c)
    list(REMOVE_ITEM sources ${path}/main.c)
    alb_view(view emu emu ${path})
    alb_library(emu ${view} "${sources}" "Threads::Threads;m")
    add_executable(albedo-linkemu ${path}/main.c)
    target_link_libraries(albedo-linkemu PRIVATE emu Threads::Threads m alb_warnings)
endfunction()

# tests/labkit/*.c: what tests/lab puts on the link beside the product; shares no code with it.
function(alb_lab_traffic)
    set(path ${ALB_TESTS}/labkit)
    file(GLOB sources CONFIGURE_DEPENDS ${path}/*.c)
    alb_view(view labkit labkit ${path})
    add_executable(albedo-traffic ${sources})
    target_include_directories(albedo-traffic PRIVATE ${view})
    target_link_libraries(albedo-traffic PRIVATE Threads::Threads m alb_warnings)
endfunction()

# tests/sense/: what net/ knows of a machine's place, as JSON for tests in network namespaces.
function(alb_sense)
    add_executable(albedo-sense ${ALB_TESTS}/sense/main.c)
    target_link_libraries(albedo-sense PRIVATE base net wire shaper alb_warnings)
endfunction()

# tests/emu/unit/test_<file>.c: the laws of the link, without an interface or a clock; and the gate,
# which holds the running emulator to its accuracy (77: too noisy a machine to tell).
function(alb_emulator_tests)
    file(GLOB tests CONFIGURE_DEPENDS ${ALB_TESTS}/emu/unit/test_*.c)
    foreach(source IN LISTS tests)
        cmake_path(GET source STEM file)
        string(REGEX REPLACE "^test_" "emu_unit_" name ${file})
        alb_test_executable(${name} ${source} "emu;m")
        add_test(NAME ${name} COMMAND ${name})
        alb_test_properties(${name} unit 120)
    endforeach()
    add_test(NAME emu_gate COMMAND ${ALB_TESTS}/emu/gate)
    alb_test_properties(emu_gate e2e 600)
    set_tests_properties(emu_gate PROPERTIES RUN_SERIAL ON SKIP_RETURN_CODE 77)
endfunction()

# Scenarios of tests/lab with wide bars, on the release build since they are about speed. Skipped
# (77) without one (tests/run makes it), or where three tries were invalid: the emulator was late or
# other programs had the processors, so nothing is told either way; tests/run names it at its end.
function(alb_lab_scenarios)
    if(ALB_TSAN OR ALB_COVERAGE)
        return() # the programs it plays are not these
    endif()
    foreach(name L1-4 S1 S2)
        add_test(NAME lab_${name} COMMAND ${ALB_TESTS}/lab ${name} --wide
                 --bin ${CMAKE_SOURCE_DIR}/build/release/bin --out ${CMAKE_BINARY_DIR}/lab/${name})
        alb_test_properties(lab_${name} lab 600) # three tries of S2 are 260 s on an idle machine
        set_tests_properties(lab_${name} PROPERTIES RUN_SERIAL ON SKIP_RETURN_CODE 77)
    endforeach()
endfunction()

# tests/e2e/test_*.py: real processes; ALB_BIN_DIR says where the programs are.
function(alb_end_to_end)
    find_program(PYTHON3 python3 PATHS /usr/bin NO_DEFAULT_PATH REQUIRED)
    file(GLOB scripts CONFIGURE_DEPENDS ${ALB_TESTS}/e2e/test_*.py)
    foreach(script IN LISTS scripts)
        cmake_path(GET script STEM stem)
        string(REGEX REPLACE "^test_" "e2e_" name ${stem})
        add_test(NAME ${name} COMMAND ${PYTHON3} -m pytest -q -p no:cacheprovider ${script})
        alb_test_properties(${name} e2e 600)
        set_tests_properties(${name} PROPERTIES COST 30)
        # Timings of links want the machine to themselves.
        if(stem MATCHES "linkemu")
            set_tests_properties(${name} PROPERTIES RUN_SERIAL ON)
        endif()
    endforeach()
endfunction()

# tests/lint/: each script is given the source tree and the build tree; 77 means skipped.
function(alb_lints)
    alb_write_layers(${CMAKE_BINARY_DIR}/layers.txt)
    file(GLOB scripts CONFIGURE_DEPENDS ${ALB_TESTS}/lint/*.sh ${ALB_TESTS}/lint/*.py)
    foreach(script IN LISTS scripts)
        cmake_path(GET script STEM stem)
        add_test(NAME lint_${stem} COMMAND ${script} ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR})
        alb_test_properties(lint_${stem} lint 120)
        set_tests_properties(lint_${stem} PROPERTIES SKIP_RETURN_CODE 77)
    endforeach()
endfunction()

# "folder: what it may include", a line each, for the layer test to hold the compiler to.
function(alb_write_layers path)
    get_property(modules GLOBAL PROPERTY ALB_MODULES)
    set(text "")
    foreach(module IN LISTS modules)
        get_property(depends GLOBAL PROPERTY ALB_DEPENDS_${module})
        get_property(folder GLOBAL PROPERTY ALB_FOLDER_${module})
        list(JOIN depends " " depends)
        string(APPEND text "${folder}: ${depends}\n")
    endforeach()
    file(WRITE ${path} "${text}")
endfunction()
