//! cluster-admin
