// The kernels in portable C++, one word at a time.
#include "rows.hpp"

namespace netgraph {
namespace {

struct Generic {
    static constexpr Index words = 1;
    static constexpr int panel = 4;
    using Vector = Word;
    using Lanes = int;  // a vector of one word is never cut

    static Lanes first(Index) { return 0; }
    static Vector load(const Word* at) {
        Word value;
        std::memcpy(&value, at, sizeof value);
        return value;
    }
    static Vector load(const Word* at, Lanes) { return *at; }
    static void store(Word* at, Vector value) { *at = value; }
    static Vector both(Vector a, Vector b) { return a & b; }
    static Vector either(Vector a, Vector b) { return a | b; }
    static Vector either(Vector a, Vector b, Vector c) { return a | b | c; }
    static Vector without(Vector a, Vector b) { return a & ~b; }
    static bool covers(Vector a, Vector all) { return a == all; }
    static bool any(Vector a) { return a != 0; }

    // Rotates each lane of G bits to the left: what leaves a lane at its top comes in again at its bottom.
    template <int G>
    struct Turn {
        int left;
        Word stay;  // the bits that do not leave their lane
        explicit Turn(std::uint32_t shift) : left(static_cast<int>(shift)), stay(low_lanes<G>(G - shift)) {}
        Vector operator()(Vector a) const {
            return left == 0 ? a : (a & stay) << left | (a & ~stay) >> (G - left);
        }
    };

    struct Counter {
        Index sum = 0;
        void add(Vector value) { sum += __builtin_popcountll(value); }
        Index total() const { return sum; }
    };

    // Eight bytes of 0 or 1 at a time: the product moves the low bit of byte k to bit 56 + k.
    static Word gather(const std::uint8_t* flags) {
        Word word = 0;
        for (int k = 0; k < 64; k += 8) {
            Word octet;
            std::memcpy(&octet, flags + k, sizeof octet);
            word |= (octet * 0x0102040810204080 >> 56) << k;
        }
        return word;
    }

    template <Element E>
    struct Packer {
        using Bits = typename Format<E>::Bits;
        Bits largest = 0;

        Word pack(const char* at) {
            Bits value[64];
            std::uint8_t kept[64];
            std::memcpy(value, at, sizeof value);
            for (int k = 0; k < 64; ++k) {
                value[k] &= Format<E>::magnitude;
                largest = std::max(largest, value[k]);
                kept[k] = value[k] != 0;
            }
            return gather(kept);
        }
        bool saw_nan() const { return largest > Format<E>::infinity; }
    };

    // The product copies the octet into each byte, the mask leaves bit k of it in byte k, the sum carries it to bit 7.
    static void spread(Word bits, std::uint8_t* bytes) {
        for (int octet = 0; octet < 8; ++octet, bits >>= 8, bytes += 8) {
            const Word alone = (bits & 0xff) * 0x0101010101010101 & 0x8040201008040201;
            const Word flags = (alone + 0x7f7f7f7f7f7f7f7f) >> 7 & 0x0101010101010101;
            std::memcpy(bytes, &flags, sizeof flags);
        }
    }
};

}  // namespace

const Kernels kernels_generic = table_of<Generic, Generic>("generic");

}  // namespace netgraph
