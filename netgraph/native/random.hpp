// Random numbers that are the same on every machine: splitmix64 (Steele, Lea and Flood, OOPSLA 2014).
#pragma once

#include "bits.hpp"

namespace netgraph {

struct Random {
    Word state;

    Word next() {
        Word z = state += 0x9e3779b97f4a7c15;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        return z ^ (z >> 31);
    }

    // In [0, bound), from the upper 32 bits.
    Index below(Index bound) { return static_cast<Index>((next() >> 32) * static_cast<Word>(bound) >> 32); }

    // In (0, 1), never 0 or 1.
    double uniform() { return (static_cast<double>(next() >> 11) + 0.5) * 0x1p-53; }
};

}  // namespace netgraph
