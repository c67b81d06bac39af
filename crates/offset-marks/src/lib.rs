//! offset-marks
