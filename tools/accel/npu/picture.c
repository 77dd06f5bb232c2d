// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pictures and digits from files.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "picture.h"

/* A picture of this size on each side is 192 MiB decoded: enough. */
#define STBI_MAX_DIMENSIONS	8192
#define MAX_FILE		(256 << 20)
#define STBI_ONLY_BMP
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_NO_HDR
#define STBI_NO_LINEAR
#define STBI_NO_STDIO
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#include <stb/stb_image.h>

/* A digit's side; the file's arithmetic stays far from overflow. */
#define MAX_DIGIT	256
#define MAX_DIGITS	1000000

static uint8_t mix(const uint8_t *row0, const uint8_t *row1, int x0, int x1,
		   double fx, double fy)
{
	double top = row0[x0] + (row0[x1] - row0[x0]) * fx;
	double bottom = row1[x0] + (row1[x1] - row1[x0]) * fx;

	return top + (bottom - top) * fy + 0.5;
}

/* A pixel stands for the middle of its square, in both pictures. */
static void scale(const uint8_t *from, int w, int h, uint8_t *to, int width,
		  int height, int channels)
{
	for (int y = 0; y < height; y++) {
		double sy = fmax(0, (y + 0.5) * h / height - 0.5);
		int y0 = sy, y1 = y0 + 1 < h ? y0 + 1 : y0;
		const uint8_t *row0 = from + (size_t)y0 * w * channels;
		const uint8_t *row1 = from + (size_t)y1 * w * channels;

		for (int x = 0; x < width; x++) {
			double sx = fmax(0, (x + 0.5) * w / width - 0.5);
			int x0 = sx, x1 = x0 + 1 < w ? x0 + 1 : x0;

			for (int c = 0; c < channels; c++)
				*to++ = mix(row0, row1, x0 * channels + c,
					    x1 * channels + c, sx - x0, sy - y0);
		}
	}
}

static uint32_t le32(const uint8_t *p)
{
	return p[0] | p[1] << 8 | p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint8_t *read_file(const char *path, size_t *size)
{
	FILE *f = fopen(path, "re");
	uint8_t *data = NULL;
	struct stat st;

	if (!f || fstat(fileno(f), &st)) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		if (f)
			fclose(f);
		return NULL;
	}

	if (S_ISREG(st.st_mode) && st.st_size && st.st_size <= MAX_FILE)
		data = malloc(st.st_size);
	if (data && fread(data, 1, st.st_size, f) != (size_t)st.st_size) {
		free(data);
		data = NULL;
	}
	fclose(f);
	if (!data)
		fprintf(stderr, "%s: not a file that can be read\n", path);
	*size = st.st_size;

	return data;
}

/*
 * The decoder makes up what is missing at the end of a BMP or JPEG file. A BMP
 * file has to have all its rows; a JPEG file ends with its end marker, give or
 * take what some programs add.
 */
static bool is_whole(const uint8_t *data, size_t size, int w, int h)
{
	size_t end = size > 1024 ? size - 1024 : 0;

	if (size >= 30 && !memcmp(data, "BM", 2)) {
		uint64_t bits = (uint64_t)w * (data[28] | data[29] << 8);

		return le32(data + 10) + (bits + 31) / 32 * 4 * h <= size;
	}
	if (size >= 2 && !memcmp(data, "\xff\xd8", 2))
		return memmem(data + end, size - end, "\xff\xd9", 2);

	return true;
}

uint8_t *picture_load(const char *path, int width, int height, int channels)
{
	uint8_t *data, *pixels, *scaled = NULL;
	size_t size;
	int w, h, n;

	data = read_file(path, &size);
	if (!data)
		return NULL;

	pixels = stbi_load_from_memory(data, size, &w, &h, &n, channels);
	if (!pixels) {
		fprintf(stderr, "%s: not a picture that can be read (%s)\n", path,
			stbi_failure_reason());
	} else if (!is_whole(data, size, w, h)) {
		fprintf(stderr, "%s: the end of the picture is missing\n", path);
	} else {
		scaled = malloc((size_t)width * height * channels);
		if (scaled)
			scale(pixels, w, h, scaled, width, height, channels);
		else
			fprintf(stderr, "out of memory\n");
	}
	stbi_image_free(pixels);
	free(data);

	return scaled;
}

static bool digits_read(FILE *f, struct digits *digits)
{
	uint8_t head[20];
	size_t size;

	if (fread(head, 1, sizeof(head), f) != sizeof(head) ||
	    memcmp(head, "DIGITS01", 8))
		return false;

	digits->count = le32(head + 8);
	digits->width = le32(head + 12);
	digits->height = le32(head + 16);
	if (!digits->count || digits->count > MAX_DIGITS ||
	    !digits->width || digits->width > MAX_DIGIT ||
	    !digits->height || digits->height > MAX_DIGIT)
		return false;

	size = (size_t)digits->count * (1 + digits->width * digits->height);
	digits->data = malloc(size);

	/* Exactly as long as it says. */
	return digits->data && fread(digits->data, 1, size, f) == size &&
	       fgetc(f) == EOF;
}

bool digits_load(const char *path, struct digits *digits)
{
	FILE *f = fopen(path, "re");
	bool good;

	*digits = (struct digits){};
	if (!f) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return false;
	}

	good = digits_read(f, digits);
	fclose(f);
	if (!good) {
		fprintf(stderr, "%s: not a file of digits\n", path);
		free(digits->data);
		digits->data = NULL;
	}

	return good;
}
