"""The DICOM node: receives series, queues jobs and delivers results to the PACS."""
