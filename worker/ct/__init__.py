"""Reading of a CT series: headers, geometry, pixels, and the reasons for rejection."""
