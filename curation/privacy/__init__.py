"""Find what may identify a patient in texts, tags, pictures and DICOM headers, and take it out."""
