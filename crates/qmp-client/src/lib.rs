//! The hearing side of QMP: an asynchronous client that never goes silently quiet.
