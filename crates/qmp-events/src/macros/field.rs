//! One member: its Rust type, its facts, how it is read, written and owned.

/// A Rust type with its lifetime, if any, made `'static`.
macro_rules! owned_type {
    ($name:ident) => { $name };
    ($name:ident $lt:lifetime) => { $name<'static> };
}

/// The Rust type of a member: an option as soon as some release lacks it.
macro_rules! field_type {
    ($ty:ty) => { $ty };
    ($ty:ty, $($presence:tt)+) => { Option<$ty> };
}

/// The first release with the member or value, where the list names one.
macro_rules! since_of {
    ($(optional)?) => {
        None
    };
    ($(optional,)? since $since:literal) => {
        Some($crate::Version::literal(stringify!($since)))
    };
}

/// Whether the schema calls the member optional.
macro_rules! optional_of {
    () => {
        false
    };
    (since $since:literal) => {
        false
    };
    (optional $($rest:tt)*) => {
        true
    };
}

/// Takes a member out of its slot.
macro_rules! take_field {
    ($slot:ident, $wire:literal, $r:ident) => {
        $crate::wire::required($slot, $wire, $r)?
    };
    ($slot:ident, $wire:literal, $r:ident, $($presence:tt)+) => {
        $slot
    };
}

/// Writes a member that is there.
macro_rules! write_field {
    ($value:expr, $wire:literal, $w:ident) => {
        $crate::wire::Wire::write(&$value, $w.member($wire))
    };
    ($value:expr, $wire:literal, $w:ident, $($presence:tt)+) => {
        if let Some(value) = &$value {
            $crate::wire::Wire::write(value, $w.member($wire));
        }
    };
}

/// Whether a member is there.
macro_rules! has_field {
    ($value:expr) => {
        true
    };
    ($value:expr, $($presence:tt)+) => {
        $value.is_some()
    };
}

/// Makes a member own what it holds.
macro_rules! own_field {
    ($value:expr) => {
        $crate::wire::Wire::into_owned($value)
    };
    ($value:expr, $($presence:tt)+) => {
        $value.map($crate::wire::Wire::into_owned)
    };
}

/// Looks into a member for what is outside the vocabulary.
macro_rules! outside_field {
    ($value:expr, $wire:literal, $path:ident, $found:ident) => {
        $crate::wire::Wire::outside(&$value, &$crate::wire::join($path, $wire), $found)
    };
    ($value:expr, $wire:literal, $path:ident, $found:ident, $($presence:tt)+) => {
        if let Some(value) = &$value {
            $crate::wire::Wire::outside(value, &$crate::wire::join($path, $wire), $found);
        }
    };
}
