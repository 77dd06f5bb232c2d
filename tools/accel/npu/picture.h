/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PICTURE_H
#define PICTURE_H

#include <stdbool.h>
#include <stdint.h>

/**
 * picture_load() - a picture from a file, scaled to what a network takes
 * @path: a BMP, PNG or JPEG file
 * @width: columns wanted
 * @height: rows wanted
 * @channels: 1 for grey, 3 for red, green and blue
 *
 * Scaled bilinearly between the four nearest pixels, whose centres lie in the
 * middle of their squares. Says what is wrong with a
 * file and returns NULL; the caller frees the pixels.
 */
uint8_t *picture_load(const char *path, int width, int height, int channels);

/**
 * struct digits - handwritten digits with their answers
 * @count: digits
 * @width: columns of each
 * @height: rows of each
 * @data: for each its label, then its pixels
 */
struct digits {
	uint32_t count;
	uint32_t width;
	uint32_t height;
	uint8_t *data;
};

/** digits_load() - a file made by nets/digits.py; says what is wrong with it */
bool digits_load(const char *path, struct digits *digits);

static inline const uint8_t *digits_get(const struct digits *digits, uint32_t i)
{
	return digits->data +
	       (uint64_t)i * (1 + digits->width * digits->height);
}

#endif /* PICTURE_H */
