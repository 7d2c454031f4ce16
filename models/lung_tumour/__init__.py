"""The lung tumour model: networks, transforms, segmenter, card and weights."""
