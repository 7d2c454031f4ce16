"""Training and evaluation of the lung tumour networks. No other package imports it."""
