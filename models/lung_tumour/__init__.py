"""The lung tumour network: its transforms, its segmenter, its card and its weights."""
