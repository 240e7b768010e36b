// The finished picture: the avatar over its background, and the visible mark.

static __device__ inline unsigned char over(int front, int back, int alpha) {
    return saturated_int((front * alpha + 127) / 255 + (back * (255 - alpha) + 127) / 255);
}

// An item is a pixel: `front` over `back` by front's alpha; `back`'s is not read, and 255 is
// written. Mirrored, left and right change places; `picture` is neither of the two.
extern "C" __global__ void blend(int columns, int rows, const uchar4 *__restrict__ front,
                                 const uchar4 *__restrict__ back, int mirrored,
                                 uchar4 *__restrict__ picture) {
    ITEM_OR_RETURN(x, y);
    const uchar4 f = front[y * columns + x], b = back[y * columns + x];
    picture[y * columns + (mirrored ? columns - 1 - x : x)] =
        make_uchar4(over(f.x, b.x, f.w), over(f.y, b.y, f.w), over(f.z, b.z, f.w), 255);
}

// An item is a pixel of the mark, which lies at (left, top) of a picture with rows of `width`
// pixels: red, green and blue times their opacity, and what remains of the picture below.
extern "C" __global__ void mark(int columns, int rows, const uchar4 *__restrict__ patch, int left,
                                int top, uchar4 *__restrict__ picture, int width) {
    ITEM_OR_RETURN(x, y);
    const uchar4 ours = patch[y * columns + x];
    uchar4 *pixel = picture + (top + y) * width + left + x;
    uchar4 rgb = *pixel;
    rgb.x = (unsigned char)(ours.x + rgb.x * ours.w / 255);
    rgb.y = (unsigned char)(ours.y + rgb.y * ours.w / 255);
    rgb.z = (unsigned char)(ours.z + rgb.z * ours.w / 255);
    *pixel = rgb;
}
