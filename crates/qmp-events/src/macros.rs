//! The macros that make Rust of the vocabulary: `event!`, `object!`, `open_enum!`, `union!`, and
//! `catalogue!`, which gathers the events.
//!
//! The lists under `vocabulary/` are the only place where an event is written down; types, reading,
//! writing and [facts](crate::facts) all come from there. `macro_rules!`, so that the list is Rust
//! and its comments are documentation, with no build step.

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

/// An object of several shapes, told apart by a member that stands beside the others.
macro_rules! union {
    (
        $(#[doc = $doc:literal])*
        $name:ident $(<$lt:lifetime>)? by $tag:literal { $(
            $(#[doc = $branch_doc:literal])*
            $branch:ident $wire:literal $(, since $since:literal)? : $object:ident $(<$object_lt:lifetime>)? ;
        )* }
    ) => {
        $(#[doc = $doc])*
        ///
        /// Open: a shape of a later QEMU is kept as `Unknown`.
        #[derive(Clone, Debug, PartialEq)]
        pub enum $name $(<$lt>)? {
            $( $(#[doc = $branch_doc])* $branch($object $(<$object_lt>)?), )*
            /// A shape outside the vocabulary.
            Unknown($crate::UnknownBranch),
        }

        impl $(<$lt>)? $name $(<$lt>)? {
            /// What is known about this union.
            pub const FACTS: $crate::facts::UnionFacts = $crate::facts::UnionFacts {
                name: stringify!($name),
                doc: $crate::facts::Doc(&[$($doc),*]),
                tag: $tag,
                branches: &[ $( $crate::facts::BranchFacts {
                    name: $wire,
                    doc: $crate::facts::Doc(&[$($branch_doc),*]),
                    since: since_of!($(since $since)?),
                    object: &$object::FACTS,
                }, )* ],
            };

            /// The value of the member that tells the shape.
            pub fn tag(&self) -> &str {
                match self {
                    $( Self::$branch(_) => $wire, )*
                    Self::Unknown(branch) => &branch.tag,
                }
            }
        }

        impl $(<$lt>)? Default for $name $(<$lt>)? {
            fn default() -> Self {
                Self::Unknown(Default::default())
            }
        }

        wire_union! { $name $($lt)?; $tag; $( $branch $wire, )* }
    };
}

/// `Wire` for a union.
macro_rules! wire_union {
    ($name:ident; $($rest:tt)*) => { wire_union! { @ $name, 'wire, $name, $name; $($rest)* } };
    ($name:ident $lt:lifetime; $($rest:tt)*) => {
        wire_union! { @ $name, $lt, $name<$lt>, $name<'static>; $($rest)* }
    };
    (@ $name:ident, $lt:lifetime, $ty:ty, $owned:ty; $tag:literal; $( $branch:ident $wire:literal, )*) => {
        impl<$lt> $crate::wire::Wire<$lt> for $ty {
            const TYPE: $crate::facts::TypeFacts = $crate::facts::TypeFacts::Union(&$name::FACTS);
            type Owned = $owned;

            fn read(r: &mut $crate::json::Reader<$lt>) -> Result<Self, $crate::json::ReadError> {
                use $crate::wire::Object as _;
                let tag = $crate::wire::find_tag(r.clone(), $tag)?;
                Ok(match &*tag {
                    $( $wire => Self::$branch(<_>::read_beside(r, Some($tag))?), )*
                    _ => Self::Unknown($crate::UnknownBranch {
                        tag: tag.into_owned().into_boxed_str(),
                        ..$crate::UnknownBranch::read_beside(r, Some($tag))?
                    }),
                })
            }

            fn write(&self, out: &mut String) {
                use $crate::wire::Object as _;
                let tag = Some(($tag, self.tag()));
                match self {
                    $( Self::$branch(object) => object.write_beside(out, tag), )*
                    Self::Unknown(branch) => branch.write_beside(out, tag),
                }
            }

            fn into_owned(self) -> $owned {
                match self {
                    $( Self::$branch(object) => $name::$branch(object.into_owned()), )*
                    Self::Unknown(branch) => $name::Unknown(branch),
                }
            }

            fn outside(&self, path: &str, found: &mut Vec<$crate::Outside>) {
                match self {
                    $( Self::$branch(object) => object.outside_members(path, found), )*
                    Self::Unknown(branch) => branch.outside($tag, path, found),
                }
            }
        }
    };
}

/// An event: its object, its name and its facts.
macro_rules! event {
    (
        $(#[doc = $doc:literal])*
        $NAME:ident, since $since:literal, unstable; $($body:tt)*
    ) => {
        event! { @ [$($doc)*] $NAME [since $since] [] [unstable] [] [] []; $($body)* }
    };
    (
        $(#[doc = $doc:literal])*
        $NAME:ident, since $since:literal
            $(, removed $removed:literal)?
            $(, seed $seed:literal)?
            $(, limited $([$limit_since:literal $(per $key:literal $(except $member:literal $value:literal)?)?])+)?
            $(, latched $latch:literal)?;
        $($body:tt)*
    ) => {
        event! {
            @ [$($doc)*] $NAME [since $since] [$(since $removed)?] [] [$($seed)?]
            [$($([$limit_since $(per $key $(except $member $value)?)?])+)?] [$($latch)?];
            $($body)*
        }
    };
    (
        @ [$($doc:literal)*] $NAME:ident [$($since:tt)*] [$($removed:tt)*] [$($unstable:ident)?] [$($seed:literal)?]
        [$([$limit_since:literal $(per $key:literal $(except $member:literal $value:literal)?)?])*] [$($latch:literal)?];
        $name:ident $(<$lt:lifetime>)? { $($members:tt)* }
    ) => {
        object_type! {
            [
                $(#[doc = $doc])*
                ///
                #[doc = concat!("On the wire: `", stringify!($NAME), "`, ", stringify!($($since)*), ".")]
            ]
            $name $(<$lt>)? { $($members)* }
        }

        impl $(<$lt>)? $name $(<$lt>)? {
            /// The name on the wire.
            pub const NAME: &'static str = stringify!($NAME);

            /// What is known about this event.
            pub const FACTS: $crate::facts::EventFacts = $crate::facts::EventFacts {
                name: stringify!($NAME),
                doc: $crate::facts::Doc(&[$($doc),*]),
                since: match since_of!($($since)*) { Some(since) => since, None => unreachable!() },
                removed: since_of!($($removed)*),
                unstable: [$(stringify!($unstable),)? ""].len() > 1,
                seed: [$(Some($seed),)? None][0],
                limits: &[ $( $crate::facts::LimitSince {
                    since: $crate::Version::literal(stringify!($limit_since)),
                    key: [$(Some($key),)? None][0],
                    except: [$($(Some(($member, $value)),)?)? None][0],
                }, )* ],
                latch: [$(Some($latch),)? None][0],
                members: Self::MEMBERS,
            };
        }
    };
}

/// All events, gathered.
macro_rules! catalogue {
    ($($name:ident $(<$lt:lifetime>)?),* $(,)?) => {
        /// One event with its data.
        ///
        /// Nothing a QEMU sends fails to become one: what is not in the vocabulary, or not in the
        /// shape the vocabulary knows, is [`Event::Unknown`] and kept whole.
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum Event<'a> {
            $(
                #[doc = concat!("See [`", stringify!($name), "`].")]
                $name($name $(<$lt>)?),
            )*
            /// An event outside the vocabulary, or one whose data has another shape.
            Unknown($crate::UnknownEvent<'a>),
        }

        /// Which event, without its data.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum EventKind {
            $(
                #[doc = concat!("See [`", stringify!($name), "`].")]
                $name,
            )*
        }

        impl EventKind {
            /// Every event of the vocabulary, in alphabetical order.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The event of this name on the wire.
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $( $name::NAME => Some(Self::$name), )*
                    _ => None,
                }
            }

            /// The name on the wire.
            pub fn name(self) -> &'static str {
                self.facts().name
            }

            /// What is known about it.
            pub fn facts(self) -> &'static $crate::facts::EventFacts {
                match self {
                    $( Self::$name => &$name::FACTS, )*
                }
            }
        }

        impl<'a> Event<'a> {
            /// The name on the wire.
            pub fn name(&self) -> &str {
                match self {
                    $( Self::$name(_) => $name::NAME, )*
                    Self::Unknown(event) => &event.name,
                }
            }

            /// Which event it is; `None` for [`Event::Unknown`].
            pub fn kind(&self) -> Option<EventKind> {
                match self {
                    $( Self::$name(_) => Some(EventKind::$name), )*
                    Self::Unknown(_) => None,
                }
            }

            /// The same with nothing borrowed.
            pub fn into_owned(self) -> Event<'static> {
                match self {
                    $( Self::$name(event) => Event::$name(event.into_owned()), )*
                    Self::Unknown(event) => Event::Unknown(event.into_owned()),
                }
            }

            /// Reads the data of an event of this kind.
            pub(crate) fn read(kind: EventKind, r: &mut $crate::json::Reader<'a>) -> Result<Self, $crate::json::ReadError> {
                use $crate::wire::Object as _;
                match kind {
                    $( EventKind::$name => <$name>::read_beside(r, None).map(Self::$name), )*
                }
            }

            /// Appends the data, an empty object if there is none.
            pub(crate) fn write(&self, out: &mut String) {
                use $crate::wire::Object as _;
                match self {
                    $( Self::$name(event) => event.write_beside(out, None), )*
                    Self::Unknown(event) => event.write(out),
                }
            }

            /// Whether the message has a member `data`.
            pub(crate) fn has_data(&self) -> bool {
                match self {
                    $( Self::$name(event) => event.has_members(), )*
                    Self::Unknown(event) => event.data.is_some(),
                }
            }

            pub(crate) fn outside(&self, found: &mut Vec<$crate::Outside>) {
                match self {
                    $( Self::$name(event) => event.outside_members("", found), )*
                    Self::Unknown(event) => event.outside(found),
                }
            }
        }

        $(
            impl<'a> From<$name $(<$lt>)?> for Event<'a> {
                fn from(event: $name $(<$lt>)?) -> Self {
                    Self::$name(event)
                }
            }
        )*
    };
}
