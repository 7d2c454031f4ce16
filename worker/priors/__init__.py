"""Reading of prior scans from their CT, SEG and SR."""
