// A volume (channels, depth, height, width) is read between its voxels: trilinear, zero outside,
// -1 and 1 are the outer edges of the outermost voxels, as torch's grid_sample without aligned
// corners. LivePortrait's warping network is cut where it does so.

// Of a coordinate, in voxels; what lies further out is as empty. NaN stays NaN.
static __device__ inline float voxel_at(float coordinate, int size) {
    const float at = ((coordinate + 1.0f) * (float)size - 1.0f) * 0.5f;
    return at < -1.0f ? -1.0f : at > (float)size ? (float)size : at;
}

// An item is a value of `out` (channels, points): columns are the points, which `grid`
// (points, 3) sends to (x, y, z), rows the channels.
extern "C" __global__ void sample_volume(int columns, int rows, const float *__restrict__ volume,
                                         int width, int height, int depth,
                                         const float *__restrict__ grid, float *__restrict__ out) {
    ITEM_OR_RETURN(x, y);
    const float across = voxel_at(grid[3 * x], width);
    const float down = voxel_at(grid[3 * x + 1], height);
    const float inward = voxel_at(grid[3 * x + 2], depth);
    const float left = floorf(across), top = floorf(down), front = floorf(inward);
    const int column = __float2int_rn(left), row = __float2int_rn(top);
    const int slice = __float2int_rn(front);
    const float beyond[3] = {across - left, down - top, inward - front};  // 0..1
    const float *voxels = volume + y * depth * height * width;
    float sum = 0.0f;
    for (int corner = 0; corner < 8; ++corner) {
        const int i = corner & 1, j = corner >> 1 & 1, k = corner >> 2;
        if (!within(column + i, row + j, width, height)) continue;
        if (slice + k < 0 || slice + k >= depth) continue;
        const float share = (i ? beyond[0] : 1.0f - beyond[0]) *
                            (j ? beyond[1] : 1.0f - beyond[1]) *
                            (k ? beyond[2] : 1.0f - beyond[2]);
        sum += voxels[((slice + k) * height + row + j) * width + column + i] * share;
    }
    out[y * columns + x] = sum;
}
