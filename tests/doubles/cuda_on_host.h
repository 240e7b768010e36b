// What CUDA has and C++ has not, as far as our kernels use it: they are then compiled for this
// processor, and a launch is a loop over all threads, one after the other.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <type_traits>

#define __global__
#define __device__

struct alignas(4) uchar4 {
    unsigned char x, y, z, w;
};
struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(8) int2 {
    int x, y;
};
static inline uchar4 make_uchar4(int x, int y, int z, int w) {
    return {(unsigned char)x, (unsigned char)y, (unsigned char)z, (unsigned char)w};
}
static inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

using std::max;
using std::min;

// To the nearest, halves to even; what does not fit is the next that does, and NaN is 0.
static inline int __double2int_rn(double value) {
    if (std::isnan(value)) return 0;
    return (int)std::clamp(std::nearbyint(value), (double)INT32_MIN, (double)INT32_MAX);
}
static inline int __float2int_rn(float value) { return __double2int_rn(value); }

// One thread runs after the other here.
static inline int atomicMax(int *place, int value) {
    const int before = *place;
    *place = std::max(before, value);
    return before;
}

struct Position {
    unsigned x, y, z;
};
static thread_local Position threadIdx, blockIdx, blockDim;

// The types that are given must be the kernel's own, but for what a pointer points to.
template <typename Wanted, typename Given>
constexpr bool fits = std::is_same_v<Wanted, Given> ||
                      (std::is_pointer_v<Wanted> && std::is_same_v<Given, void *>);

template <typename... Wanted, typename... Given>
void on_host(void (*kernel)(Wanted...), const unsigned *grid, const unsigned *block,
             Given... given) {
    static_assert((fits<Wanted, Given> && ...), "the table has other types than the kernel");
    blockDim = {block[0], block[1], block[2]};
    for (blockIdx.y = 0; blockIdx.y < grid[1]; ++blockIdx.y)
        for (blockIdx.x = 0; blockIdx.x < grid[0]; ++blockIdx.x)
            for (threadIdx.y = 0; threadIdx.y < block[1]; ++threadIdx.y)
                for (threadIdx.x = 0; threadIdx.x < block[0]; ++threadIdx.x)
                    kernel((Wanted)given...);
}
