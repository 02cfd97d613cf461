// Betweenness in portable C++.
#include <array>

#include "brandes_batch.hpp"

namespace netgraph {
namespace {

struct Generic {
    using Mask = std::uint16_t;
    static constexpr int width = 16;
    using Numbers = std::array<double, width>;

    template <class Length>
    class Lengths {
       public:
        explicit Lengths(const Length* at) { std::copy(at, at + n_lanes, own_.begin()); }
        void store(Length* at) const { std::copy(own_.begin(), own_.end(), at); }
        void nearer(const Length* d, Length hop) {
            for (int l = 0; l < n_lanes; ++l) own_[l] = std::min(own_[l], over(d[l], hop));
        }
        Word reached() const {
            Word mask = 0;
            for (int l = 0; l < n_lanes; ++l) mask |= Word{own_[l] != no_path} << l;
            return mask;
        }
        // Lanes with the length of a source and a hop.
        Word attained(const Length* d, Length hop) const {
            Word mask = 0;
            for (int l = 0; l < n_lanes; ++l) mask |= Word{own_[l] == over(d[l], hop)} << l;
            return mask;
        }

       private:
        static constexpr Length no_path = static_cast<Length>(~Length{0});
        static Length over(Length d, Length hop) { return d == no_path ? d : static_cast<Length>(d + hop); }

        std::array<Length, n_lanes> own_;
    };

    static Numbers ones(const Mask& mask) {
        Numbers values;
        for (int l = 0; l < width; ++l) values[l] = mask >> l & 1;
        return values;
    }
    static Numbers load(const double* at) {
        Numbers values;
        std::copy(at, at + width, values.begin());
        return values;
    }
    static void store(double* at, const Numbers& values) { std::copy(values.begin(), values.end(), at); }
    static void add(Numbers& to, const double* from, const Mask& mask) {
        for (int l = 0; l < width; ++l) to[l] += mask >> l & 1 ? from[l] : 0.0;
    }
    // Add the numbers under the mask and return the sum of each times its `by`.
    static double gather(Numbers& to, const Numbers& by, const double* from, const Mask& mask) {
        double sum = 0;
        for (int l = 0; l < width; ++l) {
            const double value = mask >> l & 1 ? from[l] : 0.0;
            to[l] += value;
            sum += by[l] * value;
        }
        return sum;
    }
    static void add_inverse(Numbers& to, const Numbers& from) {
        for (int l = 0; l < width; ++l) to[l] += from[l] != 0 ? 1 / from[l] : 0.0;
    }
};

}  // namespace

void betweenness_generic(const SortedEdges& edges, const OutEdges& out, bool deep, Sources sources,
                         const std::uint8_t* goals, double* found) {
    run_all<Generic>(edges, out, deep, sources, goals, found);
}

}  // namespace netgraph
