//! `object!`: a nested object, and the struct that events are made of, too.

/// A nested object.
macro_rules! object {
    (
        $(#[doc = $doc:literal])*
        $name:ident $(<$lt:lifetime>)? { $($members:tt)* }
    ) => {
        object_type! { [$(#[doc = $doc])*] $name $(<$lt>)? { $($members)* } }

        impl $(<$lt>)? $name $(<$lt>)? {
            /// What is known about this object.
            pub const FACTS: $crate::facts::ObjectFacts = $crate::facts::ObjectFacts {
                name: stringify!($name),
                doc: $crate::facts::Doc(&[$($doc),*]),
                members: Self::MEMBERS,
            };
        }

        wire_object! { $name $($lt)? }
    };
}

/// `Wire` for an object. A lifetime of its own is used where the type has none.
macro_rules! wire_object {
    ($name:ident) => {
        wire_object! { @ $name, 'wire, $name }
    };
    ($name:ident $lt:lifetime) => {
        wire_object! { @ $name, $lt, $name<$lt> }
    };
    (@ $name:ident, $lt:lifetime, $ty:ty) => {
        impl<$lt> $crate::wire::Wire<$lt> for $ty {
            const TYPE: $crate::facts::TypeFacts = $crate::facts::TypeFacts::Object(&$name::FACTS);
            type Owned = <Self as $crate::wire::Own>::Owned;

            fn read(r: &mut $crate::json::Reader<$lt>) -> Result<Self, $crate::json::ReadError> {
                $crate::wire::Object::read_beside(r, None)
            }

            fn write(&self, out: &mut String) {
                $crate::wire::Object::write_beside(self, out, None);
            }

            fn into_owned(self) -> Self::Owned {
                $crate::wire::Own::own(self)
            }

            fn outside(&self, path: &str, found: &mut Vec<$crate::Outside>) {
                self.outside_members(path, found);
            }
        }
    };
}

/// The struct of an object or event, read and written member by member.
macro_rules! object_type {
    (
        [$(#[$meta:meta])*]
        $name:ident $(<$lt:lifetime>)? { $(
            $(#[doc = $doc:literal])*
            $field:ident $wire:literal : $ty:ty $(, $word:ident $($arg:literal)?)* ;
        )* }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $name $(<$lt>)? {
            $(
                $(#[doc = $doc])*
                pub $field: field_type!($ty $(, $word $($arg)?)*),
            )*
            /// Members outside the vocabulary.
            pub extra: $crate::Extra,
        }

        impl $(<$lt>)? $name $(<$lt>)? {
            pub(crate) const MEMBERS: &'static [$crate::facts::MemberFacts] = &[ $(
                $crate::facts::MemberFacts {
                    name: $wire,
                    doc: $crate::facts::Doc(&[$($doc),*]),
                    ty: <$ty as $crate::wire::Wire<'_>>::TYPE,
                    optional: optional_of!($($word $($arg)?),*),
                    since: since_of!($($word $($arg)?),*),
                },
            )* ];

            /// The same with nothing borrowed.
            pub fn into_owned(self) -> owned_type!($name $($lt)?) {
                $crate::wire::Own::own(self)
            }

            /// Whether anything is in it.
            #[allow(dead_code, reason = "asked of events only")]
            pub(crate) fn has_members(&self) -> bool {
                $( has_field!(self.$field $(, $word $($arg)?)*) || )* !self.extra.is_empty()
            }

            #[allow(unused_variables, reason = "an event may have no members")]
            pub(crate) fn outside_members(&self, path: &str, found: &mut Vec<$crate::Outside>) {
                $crate::wire::strangers(&self.extra, path, found);
                $( outside_field!(self.$field, $wire, path, found $(, $word $($arg)?)*); )*
            }
        }

        impl $(<$lt>)? $crate::wire::Own for $name $(<$lt>)? {
            type Owned = owned_type!($name $($lt)?);

            fn own(self) -> Self::Owned {
                $name {
                    $( $field: own_field!(self.$field $(, $word $($arg)?)*), )*
                    extra: self.extra,
                }
            }
        }

        read_write! { $name $($lt)?; $( $field $wire [$(, $word $($arg)?)*]; )* }
    };
}

/// `Object` for a struct of the vocabulary.
macro_rules! read_write {
    ($name:ident; $($rest:tt)*) => { read_write! { @ 'wire, $name; $($rest)* } };
    ($name:ident $lt:lifetime; $($rest:tt)*) => { read_write! { @ $lt, $name<$lt>; $($rest)* } };
    (@ $lt:lifetime, $ty:ty; $( $field:ident $wire:literal [$($presence:tt)*]; )*) => {
        impl<$lt> $crate::wire::Object<$lt> for $ty {
            #[allow(unused_mut, unused_variables, reason = "an event may have no members")]
            fn read_beside(
                r: &mut $crate::json::Reader<$lt>,
                tag: Option<&str>,
            ) -> Result<Self, $crate::json::ReadError> {
                $( let mut $field = None; )*
                let mut extra = $crate::Extra::default();
                let mut members = r.object()?;
                while let Some(key) = members.next(r)? {
                    match &*key.name() {
                        $( $wire => $crate::wire::fill(&mut $field, $wire, r)?, )*
                        name if tag == Some(name) => { r.skip()?; }
                        _ => extra.push(key, r.skip()?),
                    }
                }
                Ok(Self { $( $field: take_field!($field, $wire, r $($presence)*), )* extra })
            }

            fn write_beside(&self, out: &mut String, tag: Option<(&str, &str)>) {
                const NAMES: &[&str] = &[$($wire),*];
                const ORDER: [usize; NAMES.len()] = {
                    let mut names = [""; NAMES.len()];
                    names.copy_from_slice(NAMES);
                    $crate::json::order(&names)
                };
                let members = $crate::wire::Members {
                    names: NAMES,
                    order: &ORDER,
                    writers: &[ $( |this: &Self, w| write_field!(this.$field, $wire, w $($presence)*), )* ],
                };
                members.write(self, &self.extra, tag, out);
            }
        }
    };
}
