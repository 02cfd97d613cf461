# Configures and builds the project beside this file. Where that fails: an error if REQUIRED, otherwise a warning and no
# library. cmake -DSOURCE= -DBUILD= -DARCHITECTURES= -DREQUIRED= -P build.cmake
string(REPLACE "," ";" architectures "${ARCHITECTURES}")
set(log "${BUILD}/build.log")
file(MAKE_DIRECTORY "${BUILD}")
file(WRITE "${log}" "")

function(run)
  if(failed)
    return()
  endif()
  execute_process(COMMAND ${ARGV} RESULT_VARIABLE result OUTPUT_VARIABLE said ERROR_VARIABLE said)
  file(APPEND "${log}" "${said}")
  set(failed ${result} PARENT_SCOPE)
endfunction()

run("${CMAKE_COMMAND}" -S "${SOURCE}" -B "${BUILD}" -G "${GENERATOR}" -DCMAKE_BUILD_TYPE=Release
  "-DCMAKE_MAKE_PROGRAM=${MAKE_PROGRAM}" "-DCMAKE_CUDA_COMPILER=${NVCC}" "-DCMAKE_CXX_COMPILER=${CXX}"
  "-DCMAKE_CUDA_ARCHITECTURES=${architectures}")
run("${CMAKE_COMMAND}" --build "${BUILD}")
if(failed)
  file(REMOVE "${BUILD}/libprune_adapters_cuda.so")
  if(REQUIRED)
    file(READ "${log}" said)
    message(FATAL_ERROR "the kernels for CUDA could not be built:\n${said}")
  endif()
  message(WARNING "the kernels for CUDA could not be built, tensors on CUDA will be served by plain torch: ${log}")
endif()
