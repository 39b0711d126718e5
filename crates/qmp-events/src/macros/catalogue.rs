//! `catalogue!`: all events, gathered in one enum.

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
