// Many tensors in one launch: what a kernel does with each, within its arguments, and which blocks work on which.
#pragma once

#include <algorithm>
#include <vector>

#include "device.cuh"

namespace prune_adapters::cuda {

// What the arguments of a kernel hold (4 KiB).
template <class Item>
struct Batch {
    static constexpr int most = static_cast<int>(3500 / (sizeof(Item) + sizeof(int)));

    Item item[most];
    int first_block[most + 1];  // of each item, and one beyond the last
    int count;
};

// The item of this block.
template <class Item>
__device__ __forceinline__ int item_of_block(const Batch<Item>& batch) {
    const int number = blockIdx.x;
    int low = 0, high = batch.count - 1;
    while (low < high) {
        const int middle = (low + high + 1) / 2;
        if (batch.first_block[middle] <= number)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

// Calls run(batch, blocks, blocks of all batches before) as often as needed; an item takes a block for each `chunk` of
// its `count`.
template <class Item, class Run>
void in_batches(const std::vector<Item>& items, std::int64_t chunk, const Run& run) {
    Batch<Item> now;
    std::int64_t before = 0;
    now.count = now.first_block[0] = 0;
    const auto flush = [&] {
        const int blocks = now.first_block[now.count];
        if (blocks) run(now, static_cast<unsigned>(blocks), before);
        before += blocks;
        now.count = now.first_block[0] = 0;
    };
    for (const Item& item : items) {
        const std::int64_t blocks = (item.count + chunk - 1) / chunk;
        if (!blocks) continue;
        if (now.count == Batch<Item>::most || now.first_block[now.count] + blocks > 0x7fffffff) flush();
        now.item[now.count] = item;
        now.first_block[now.count + 1] = static_cast<int>(now.first_block[now.count] + blocks);
        ++now.count;
    }
    flush();
}

}  // namespace prune_adapters::cuda
