// Sums over all paths of a graph, forward and backward, in one call. netgraph/flow/passes.py is the reference.
#pragma once

#include "plan.hpp"
#include "sums.hpp"

namespace netgraph {

// One number a unit, in [0, 1), under one power of two a layer.
template <class Value, class Exponent>
struct Sums {
    Value* values;
    Exponent* exponents;
};
using UnitSums = Sums<double, Index>;
using ReadSums = Sums<const double, const Index>;

class PathSums {
   public:
    // `factors` holds one entry a weighted connection, `gate` and `shift` one byte a unit.
    PathSums(const Plan& plan, const Word* bits, const std::vector<Factors>& factors, const std::uint8_t* gate,
             const std::uint8_t* shift);

    // Returns -1, or a connection with a kept weight that is not finite: then nothing is valid.
    Index run(UnitSums forward, UnitSums backward);

   private:
    // What the connections of one layer add to it, under one exponent.
    struct Total {
        std::vector<double> values;
        Index exponent = 0;
        bool any = false;

        void start(const double* own, Index units);
        void add(const double* term, Index from, Index count, Index own_exponent);
        void finish(double* own, Index* exponents, Index units) const;
    };

    void forward(const Layer& layer, UnitSums sums);
    void backward(const Layer& layer, UnitSums sums);
    void close(const Layer& layer, const Wire* wire, const double* values);
    void along(const Wire& c, const double* sources, double* targets) const;
    void against(const Wire& c, const double* targets, double* sources) const;
    bool finite(Index number, const std::vector<double>& values);

    const Plan& plan_;
    const std::uint8_t* gate_;
    std::vector<Factors> factors_;
    std::vector<EdgeSums> edges_;
    std::vector<std::vector<Index>> weighted_from_, wiring_from_;  // numbers of what leaves each layer
    std::vector<Word> factor_flags_;                               // as those of Sweep
    Total total_;
    std::vector<double> term_, open_;
    Index broken_ = -1;
};

// The shares of the weights of one connection from the sums of all units; `total` as in netgraph.flow.PathSums,
// `fresh` as in sums.hpp.
void connection_shares(const Weighted& c, const Word* bits, const Factors& factors, const std::uint8_t* gate,
                       ReadSums forward, ReadSums backward, double total, Index total_exponent, bool fresh,
                       void* out);

}  // namespace netgraph
