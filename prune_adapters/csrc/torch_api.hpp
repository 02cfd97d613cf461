// The functions of torch that the operators use: the stable C interface of LibTorch, torch 2.10 and later.
//
// They are looked up in the torch that Python has imported. So this library is built without torch, links to none of
// its libraries, and one file serves every torch and every Python.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace prune_adapters::torch {

struct Library;
struct Tensor;
struct List;
using Status = std::int32_t;  // 0: good
using Size = std::int64_t;
using Value = std::uint64_t;  // an argument or a result: a handle, which the receiver owns, or a number
using Boxed = void (*)(Value* stack, std::uint64_t n_arguments, std::uint64_t n_results);
using Range = void (*)(Size begin, Size end, void* context);

// X(name here, name in torch, type)
#define PRUNE_ADAPTERS_TORCH_FUNCTIONS(X)                                                                  \
    X(init_impl, aoti_torch_library_init_impl,                                                             \
      Status(const char* space, const char* dispatch_key, const char* file, std::uint32_t line, Library**)) \
    X(implement, torch_library_impl, Status(Library*, const char* name, Boxed, std::uint64_t version))     \
    X(list_size, torch_list_size, Status(List*, std::size_t*))                                             \
    X(list_item, torch_list_get_item, Status(List*, std::size_t, Value*))                                  \
    X(delete_list, torch_delete_list, Status(List*))                                                       \
    X(new_list, torch_new_list_reserve_size, Status(std::size_t, List**))                                  \
    X(list_push, torch_list_push_back, Status(List*, Value))                                               \
    X(delete_tensor, aoti_torch_delete_tensor_object, Status(Tensor*))                                     \
    X(sizes, aoti_torch_get_sizes, Status(Tensor*, Size**))                                                \
    X(strides, aoti_torch_get_strides, Status(Tensor*, Size**))                                            \
    X(dim, aoti_torch_get_dim, Status(Tensor*, Size*))                                                     \
    X(numel, aoti_torch_get_numel, Status(Tensor*, Size*))                                                 \
    X(dtype, aoti_torch_get_dtype, Status(Tensor*, std::int32_t*))                                         \
    X(device_type, aoti_torch_get_device_type, Status(Tensor*, std::int32_t*))                             \
    X(is_contiguous, aoti_torch_is_contiguous, Status(Tensor*, bool*))                                     \
    X(data, torch_get_const_data_ptr, Status(Tensor*, const void**))                                       \
    X(mutable_data, torch_get_mutable_data_ptr, Status(Tensor*, void**))                                   \
    X(empty_strided, aoti_torch_empty_strided,                                                             \
      Status(Size dim, const Size* sizes, const Size* strides, std::int32_t dtype, std::int32_t device_type, \
             std::int32_t device_index, Tensor**))                                                         \
    X(parallel_for, torch_parallel_for, Status(Size begin, Size end, Size grain, Range, void* context))    \
    X(num_threads, torch_get_num_threads, Status(std::uint32_t*))                                          \
    X(element_size, aoti_torch_dtype_element_size, std::size_t(std::int32_t dtype))                        \
    X(dtype_uint8, aoti_torch_dtype_uint8, std::int32_t())                                                 \
    X(dtype_bool, aoti_torch_dtype_bool, std::int32_t())                                                   \
    X(dtype_int16, aoti_torch_dtype_int16, std::int32_t())                                                 \
    X(dtype_int32, aoti_torch_dtype_int32, std::int32_t())                                                 \
    X(dtype_int64, aoti_torch_dtype_int64, std::int32_t())                                                 \
    X(dtype_float16, aoti_torch_dtype_float16, std::int32_t())                                             \
    X(dtype_bfloat16, aoti_torch_dtype_bfloat16, std::int32_t())                                           \
    X(dtype_float32, aoti_torch_dtype_float32, std::int32_t())                                             \
    X(dtype_float64, aoti_torch_dtype_float64, std::int32_t())                                             \
    X(device_type_cpu, aoti_torch_device_type_cpu, std::int32_t())

#define PRUNE_ADAPTERS_MEMBER(name, symbol, ...) std::add_pointer_t<__VA_ARGS__> name;

// Looks one up in `library` for `api` and returns the name of what is missing.
#define PRUNE_ADAPTERS_BIND(name, symbol, ...)                                             \
    api.name = reinterpret_cast<std::add_pointer_t<__VA_ARGS__>>(dlsym(library, #symbol)); \
    if (!api.name) return #symbol;

struct Api {
    PRUNE_ADAPTERS_TORCH_FUNCTIONS(PRUNE_ADAPTERS_MEMBER)
};

// What `bind` has found.
extern Api api;

// The names in torch, and a null pointer at the end.
extern const char* const function_names[];

// Look all functions up in the library at `path`, which is loaded already. Returns nullptr, or what is missing.
const char* bind(const char* path);

}  // namespace prune_adapters::torch
