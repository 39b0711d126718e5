//! `open_enum!`: an enum that keeps values it does not know.

/// An enum whose unknown values are kept.
macro_rules! open_enum {
    (
        $(#[doc = $doc:literal])*
        $name:ident { $(
            $(#[doc = $value_doc:literal])*
            $value:ident $wire:literal $(, since $since:literal)? ;
        )* }
    ) => {
        $(#[doc = $doc])*
        ///
        /// Open: a value of a later QEMU is kept as `Unknown`. The default is `Unknown("")`, which
        /// no QEMU sends.
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $( $(#[doc = $value_doc])* $value, )*
            /// A value outside the vocabulary.
            Unknown(Box<str>),
        }

        impl $name {
            /// What is known about this enum.
            pub const FACTS: $crate::facts::EnumFacts = $crate::facts::EnumFacts {
                name: stringify!($name),
                doc: $crate::facts::Doc(&[$($doc),*]),
                values: &[ $( $crate::facts::ValueFacts {
                    name: $wire,
                    doc: $crate::facts::Doc(&[$($value_doc),*]),
                    since: since_of!($(since $since)?),
                }, )* ],
            };

            /// The word on the wire.
            pub fn as_str(&self) -> &str {
                match self {
                    $( Self::$value => $wire, )*
                    Self::Unknown(word) => word,
                }
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::Unknown("".into())
            }
        }

        impl From<&str> for $name {
            fn from(word: &str) -> Self {
                match word {
                    $( $wire => Self::$value, )*
                    _ => Self::Unknown(word.into()),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl<'a> $crate::wire::Wire<'a> for $name {
            const TYPE: $crate::facts::TypeFacts = $crate::facts::TypeFacts::Enum(&Self::FACTS);
            type Owned = Self;

            fn read(r: &mut $crate::json::Reader<'a>) -> Result<Self, $crate::json::ReadError> {
                Ok(Self::from(&*r.string()?))
            }

            fn write(&self, out: &mut String) {
                $crate::json::write_string(out, self.as_str());
            }

            fn into_owned(self) -> Self {
                self
            }

            fn outside(&self, path: &str, found: &mut Vec<$crate::Outside>) {
                if let Self::Unknown(value) = self {
                    found.push($crate::Outside::Value { member: path.to_owned(), value: value.clone() });
                }
            }
        }
    };
}
