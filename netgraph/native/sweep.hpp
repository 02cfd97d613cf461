// One forward and one backward pass over the bits of a graph; to a fixed point if it is cyclic.
#pragma once

#include <vector>

#include "connection.hpp"

namespace netgraph {

class Sweep {
   public:
    // `gate` and `shift` hold one byte a unit, `values` one entry a weighted connection.
    Sweep(const Plan& plan, Word* bits, std::vector<Values> values, const std::uint8_t* gate,
          const std::uint8_t* shift);

    // Run both passes; bits are written where there are values. Returns -1, or the first connection with a NaN: then
    // nothing else is valid.
    Index run(Index* consistent);

    // Products: one bit a unit for each factor, where it is not zero.
    const std::vector<Word>& factors() const { return factors_; }

    // One byte a unit each.
    void write(std::uint8_t* live, std::uint8_t* nonzero, std::uint8_t* co) const;

   private:
    using Flags = std::vector<Word>;  // a unit vector

    void forward();
    void add_wiring(const Layer& layer);
    void enter(Index number);
    void enter_nonzero(const Weighted& c, const ConnectionRows& rows);
    void multiply(const Layer& layer);
    void finish(const Layer& layer);
    void backward(Index* consistent);
    void leave_product(const Layer& layer);
    bool grown();  // whether any flag was set since the last call

    const Plan& plan_;
    Word* bits_;
    std::vector<Values> values_;
    Flags live_, nonzero_, co_, gate_, shift_, passing_;
    Flags reached_live_, reached_nonzero_;  // before gate and shift
    std::vector<Word> masks_, other_masks_, factors_, wanted_, hits_;
    std::vector<Word> scratch_[2];
    Index nan_ = -1, flagged_ = 0;
};

// One byte a unit to a unit vector and back.
std::vector<Word> unit_vector(const Plan& plan, const std::uint8_t* bytes);
void unit_bytes(const Plan& plan, const std::vector<Word>& vector, std::uint8_t* bytes);

// out = bits without the elements whose source or target unit is not flagged (one byte a unit).
void restrict_bits(const Plan& plan, const Word* bits, const std::uint8_t* sources, const std::uint8_t* targets,
                   Word* out);

}  // namespace netgraph
