// Owners of the handles that torch gives to an operator.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "torch_api.hpp"

namespace prune_adapters::torch {

inline void check(Status status, const char* function) {
    if (status) throw std::runtime_error(std::string("prune_adapters: torch failed in ") + function);
}

class OwnTensor {
public:
    explicit OwnTensor(Value value) : handle(reinterpret_cast<Tensor*>(value)) {}
    OwnTensor(OwnTensor&& other) noexcept : handle(other.handle) { other.handle = nullptr; }
    OwnTensor& operator=(OwnTensor&& other) noexcept {
        std::swap(handle, other.handle);
        return *this;
    }
    OwnTensor(const OwnTensor&) = delete;
    OwnTensor& operator=(const OwnTensor&) = delete;
    ~OwnTensor() {
        if (handle) api.delete_tensor(handle);
    }

    Size numel() const { return get<Size>(api.numel, "numel"); }
    Size dim() const { return get<Size>(api.dim, "dim"); }
    const Size* sizes() const { return get<Size*>(api.sizes, "sizes"); }
    const Size* strides() const { return get<Size*>(api.strides, "strides"); }
    std::int32_t dtype() const { return get<std::int32_t>(api.dtype, "dtype"); }
    std::int32_t device_type() const { return get<std::int32_t>(api.device_type, "device_type"); }
    bool on_cpu() const { return device_type() == api.device_type_cpu(); }
    bool is_contiguous() const { return get<bool>(api.is_contiguous, "is_contiguous"); }
    const void* data() const { return get<const void*>(api.data, "data"); }
    void* mutable_data() const { return get<void*>(api.mutable_data, "mutable_data"); }

    explicit operator bool() const { return handle != nullptr; }  // an optional one may be missing

    // Hand the tensor over to torch.
    Value release() {
        const Value value = reinterpret_cast<Value>(handle);
        handle = nullptr;
        return value;
    }

    template <class T>
    T get(Status (*function)(Tensor*, T*), const char* name) const {
        T found{};
        check(function(handle, &found), name);
        return found;
    }

private:
    Tensor* handle;
};

// A new tensor, contiguous.
inline OwnTensor empty(std::int32_t dtype, const std::vector<Size>& sizes, std::int32_t device_type,
                       std::int32_t device_index) {
    std::vector<Size> strides(sizes.size());
    Size next = 1;
    for (std::size_t d = sizes.size(); d-- > 0; next *= sizes[d]) strides[d] = next;
    Tensor* made = nullptr;
    const auto dim = static_cast<Size>(sizes.size());
    check(api.empty_strided(dim, sizes.data(), strides.data(), dtype, device_type, device_index, &made), "empty");
    return OwnTensor(reinterpret_cast<Value>(made));
}

// The same on the CPU.
inline OwnTensor empty(std::int32_t dtype, const std::vector<Size>& sizes) {
    return empty(dtype, sizes, api.device_type_cpu(), 0);
}

// The elements of a list argument: handles or numbers. The list itself is gone afterwards.
inline std::vector<Value> take_list(Value value) {
    struct OwnList {
        List* handle;
        ~OwnList() { api.delete_list(handle); }
    } list{reinterpret_cast<List*>(value)};
    std::size_t size = 0;
    check(api.list_size(list.handle, &size), "list_size");
    std::vector<Value> values(size);
    for (std::size_t i = 0; i < size; ++i) check(api.list_item(list.handle, i, &values[i]), "list_item");
    return values;
}

inline std::vector<OwnTensor> take_tensors(Value value) {
    const std::vector<Value> values = take_list(value);
    return std::vector<OwnTensor>(values.begin(), values.end());
}

inline std::vector<bool> take_flags(Value value) {
    const std::vector<Value> values = take_list(value);
    std::vector<bool> flags;
    for (const Value flag : values) flags.push_back(flag & 1);
    return flags;
}

// A list of tensors as a result: torch owns them then.
inline Value give_tensors(std::vector<OwnTensor> tensors) {
    List* list = nullptr;
    check(api.new_list(tensors.size(), &list), "new_list");
    for (OwnTensor& tensor : tensors) check(api.list_push(list, tensor.release()), "list_push");
    return reinterpret_cast<Value>(list);
}

}  // namespace prune_adapters::torch
