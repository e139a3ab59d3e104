# SPDX-License-Identifier: Apache-2.0
# cmake/AlbFluid.cmake – the control law in virtual time: tests/fluid as a library, a table, a test.

# tests/fluid/: the packet model for whoever LINKS it; fluid_run, which prints the matrix; and a
# test that every row holds its bar, but for the 2 % by which a model may differ from a link.
function(alb_fluid)
    set(path ${ALB_TESTS}/fluid)
    file(GLOB sources CONFIGURE_DEPENDS ${path}/*.c)
    list(REMOVE_ITEM sources ${path}/main.c)
    alb_view(view fluid fluid ${path})
    alb_library(fluid ${view} "${sources}" "base;shaper;m")
    add_executable(fluid_run ${path}/main.c)
    target_link_libraries(fluid_run PRIVATE fluid shaper base alb_warnings)
    add_test(NAME fluid_matrix COMMAND fluid_run --must --slack 2 --runs 5)
    alb_test_properties(fluid_matrix fluid 300)
endfunction()
