//! Configurations that must be refused, and how.
