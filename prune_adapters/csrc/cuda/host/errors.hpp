// What CUDA says after a launch that went wrong: tests let launches be refused, as by a device that is in a bad state.
#pragma once

namespace prune_adapters::host {

inline bool refuse_launches = false;
inline bool refused = false;  // since CUDA was last asked

}  // namespace prune_adapters::host

enum cudaError_t { cudaSuccess, cudaErrorLaunchFailure = 719 };

inline cudaError_t cudaGetLastError() {
    const bool failed = prune_adapters::host::refused;
    prune_adapters::host::refused = false;
    return failed ? cudaErrorLaunchFailure : cudaSuccess;
}
inline const char* cudaGetErrorName(cudaError_t error) { return error ? "cudaErrorLaunchFailure" : "cudaSuccess"; }
inline const char* cudaGetErrorString(cudaError_t error) { return error ? "unspecified launch failure" : "no error"; }
