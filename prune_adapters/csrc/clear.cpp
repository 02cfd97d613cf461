// Splits the work of clear.hpp into parts for the threads of torch.
#include "clear.hpp"

#include <algorithm>
#include <cstring>

#include "tensors.hpp"

namespace prune_adapters {
namespace {

// A part begins where a byte of bits does, and is long enough to be worth handing to a thread.
constexpr Index part = Index{1} << 15;
constexpr Index parts_a_thread = 4;

void clear_part(const Run& run, Index number) {
    const Index begin = number * part;
    char* values = run.values + (begin << run.log_size);
    kernels().clear[run.log_size](values, run.bits + begin / 8, std::min(part, run.count - begin));
}

struct Work {
    std::vector<Run> runs;
    std::vector<Index> first_part;  // of each run, and one beyond the last
};

void clear_parts(torch::Size begin, torch::Size end, void* context) {
    const Work& work = *static_cast<const Work*>(context);
    auto run = std::upper_bound(work.first_part.begin(), work.first_part.end(), begin) - work.first_part.begin() - 1;
    for (Index number = begin; number < end; ++number) {
        while (number >= work.first_part[run + 1]) ++run;
        clear_part(work.runs[run], number - work.first_part[run]);
    }
}

}  // namespace

void clear_runs(std::vector<Run> runs) {
    Work work{std::move(runs), {0}};
    Index parts = 0;
    for (const Run& run : work.runs) work.first_part.push_back(parts += (run.count + part - 1) / part);
    torch::check(torch::api.parallel_for(0, parts, parts_a_thread, clear_parts, &work), "parallel_for");
}

void clear_strided(const Run& run, Index dim, const Index* sizes, const Index* strides) {
    std::vector<Index> index(static_cast<std::size_t>(dim), 0);
    Index place = 0;
    for (Index k = 0; k < run.count; ++k) {
        if (!(run.bits[k / 8] >> k % 8 & 1)) std::memset(run.values + (place << run.log_size), 0, 1u << run.log_size);
        for (Index d = dim - 1; d >= 0; --d) {
            place += strides[d];
            if (++index[d] < sizes[d]) break;
            place -= strides[d] * sizes[d];
            index[d] = 0;
        }
    }
}

}  // namespace prune_adapters
