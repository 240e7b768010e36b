// I420 and RGB, BT.601 limited range. An item is a block of 2 x 2 pixels, which share their chroma.
// I420 is (H, W) luma, then (H/2, W/2) blue and red chroma, all without gaps; H and W are even.

// I420 -> (H, W) pixels, alpha 255. In the 16-bit steps of swscale's vector code, which round
// down each time, so that a tracker sees the same picture from either path.
extern "C" __global__ void i420_to_rgb(int columns, int rows,
                                       const unsigned char *__restrict__ i420,
                                       uchar4 *__restrict__ picture) {
    ITEM_OR_RETURN(x, y);
    const int width = 2 * columns, chroma = y * columns + x;
    const unsigned char *blue = i420 + 4 * columns * rows, *red = blue + columns * rows;
    const int u = blue[chroma] * 8 - 1024, v = red[chroma] * 8 - 1024;
    const int to_red = (v * 13075) >> 16;
    const int to_green = ((u * -3209) >> 16) + ((v * -6660) >> 16);
    const int to_blue = (u * 16525) >> 16;
    for (int k = 0; k < 4; ++k) {
        const int at = (2 * y + k / 2) * width + 2 * x + k % 2;
        const int luma = ((i420[at] * 8 - 128) * 9539) >> 16;
        picture[at] = make_uchar4(saturated_int(luma + to_red), saturated_int(luma + to_green),
                                  saturated_int(luma + to_blue), 255);
    }
}

// (H, W) pixels -> I420, in 20-bit fixed point as cv2.COLOR_RGB2YUV_I420: a block's chroma is that
// of its upper left pixel.
extern "C" __global__ void rgb_to_i420(int columns, int rows, const uchar4 *__restrict__ picture,
                                       unsigned char *__restrict__ i420) {
    ITEM_OR_RETURN(x, y);
    const int width = 2 * columns, half = 1 << 19;
    unsigned char *blue = i420 + 4 * columns * rows, *red = blue + columns * rows;
    for (int k = 0; k < 4; ++k) {
        const int at = (2 * y + k / 2) * width + 2 * x + k % 2;
        const uchar4 rgb = picture[at];
        i420[at] = (unsigned char)((269484 * rgb.x + 528482 * rgb.y + 102760 * rgb.z + half +
                                    (16 << 20)) >> 20);
        if (k == 0) {
            blue[y * columns + x] = (unsigned char)((-155188 * rgb.x - 305135 * rgb.y +
                                                     460324 * rgb.z + half + (128 << 20)) >> 20);
            red[y * columns + x] = (unsigned char)((460324 * rgb.x - 385875 * rgb.y -
                                                    74448 * rgb.z + half + (128 << 20)) >> 20);
        }
    }
}
