// Annealing of any model of a graph, its energy a whole number. netgraph/search/reference.py does the same in Python,
// step by step.
//
// A model has: Cell, cells(), propose(random), which makes a random move or returns false, energy(limit), which may stop
// at any value above the limit, take_back(cells), which undoes the last move in a copy of the cells, and take_back().
#pragma once

#include <cmath>
#include <utility>
#include <vector>

#include "hops.hpp"
#include "random.hpp"

namespace netgraph {

template <class Model>
class Annealer {
public:
    using Cells = std::vector<typename Model::Cell>;

    Annealer(Model made, Word random)
        : model(std::move(made)), random{random}, energy(model.energy(never)), best(energy), best_cells(model.cells()) {}

    // The threshold of Metropolis is drawn before the energy is computed, so that the evaluator can stop above it: the
    // chain is the same. Stops early once the best energy is at most `enough`.
    Index run(Index steps, double temperature, Index enough) {
        Index step = 0;
        for (; step < steps && best > enough; ++step) {
            if (!model.propose(random)) continue;
            const auto slack = static_cast<Index>(std::floor(-temperature * std::log(random.uniform())));
            const Index limit = energy < never - slack ? energy + slack : never;
            const Index found = model.energy(limit);
            if (found > limit)
                model.take_back();
            else
                accept(found);
        }
        return step;
    }

    // Mean rise of the energy over `count` random moves that raise it, each taken back; 0 if none does.
    double rise(Index count) {
        Index sum = 0, raised = 0;
        for (Index i = 0; i < count; ++i) {
            if (!model.propose(random)) continue;
            const Index found = model.energy(never - 1);
            model.take_back();
            if (found == never || found <= energy) continue;
            sum += found - energy;
            ++raised;
        }
        return raised ? static_cast<double>(sum) / static_cast<double>(raised) : 0.0;
    }

    void restore(Cells cells, Index least, Index moves, bool here) {
        best_cells = std::move(cells);
        best = least;
        accepted = moves;
        at_best = here;
    }

    // The best cells so far.
    const Cells& best_seen() {
        if (at_best) best_cells = model.cells();
        return best_cells;
    }

    Model model;
    Random random;
    Index energy, best, accepted = 0;
    bool at_best = true;  // the cells of the model are as good as the best ones, which are then out of date

private:
    void accept(Index found) {
        if (at_best && found > best) {
            best_cells = model.cells();
            model.take_back(best_cells);
            at_best = false;
        }
        if (found < best) {
            best = found;
            at_best = true;
        }
        energy = found;
        ++accepted;
    }

    Cells best_cells;
};

}  // namespace netgraph
