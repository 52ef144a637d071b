-- What stays different from a cluster: each row of the table in docs/warehouse-local.md, as a comment, and statements
-- that show what this server answers instead. The format is that of dialect.sql.

CREATE TABLE public.base (n INT, word VARCHAR(8));

INSERT INTO base VALUES (1, 'a');

-- | NUMERIC divided by NUMERIC is a DOUBLE PRECISION | NUMERIC with a scale of its own |

SELECT 1.00 / 4.00;
0.25

-- | CHAR values are stored without trailing blanks | padded; compared without them |

SELECT OCTET_LENGTH('ab'::CHAR(4));
2

-- | CTAS declares computed text as VARCHAR(65535); columns, casts and literals keep their length | the length of what it is computed from |

CREATE TABLE public.made AS SELECT UPPER(word) AS computed, word FROM base;

SELECT type FROM pg_table_def WHERE tablename = 'made';
character varying(65535)
character varying(8)

-- | CAN_JSON_PARSE accepts numbers out of range, such as `1e400` | (not confirmed) |

SELECT CAN_JSON_PARSE('1e400');
t

-- | regular expressions have no look-ahead or back-references, also with `p` | with `p` they have |

SELECT REGEXP_SUBSTR('ab', 'a(?=b)', 1, 1, 'p');
!2201B invalid regular expression

-- | a literal of text in arithmetic is refused with 42883 | is read as a number, or 22P02 |

SELECT 'a' + 1;
!42883

-- | FNV_HASH, FARMFINGERPRINT64, HyperLogLog sketches, geometry and H3 are refused | supported |

SELECT FNV_HASH('a');
!42883 the local Redshift does not support function fnv_hash

SELECT HLL(n) FROM base;
!42883 the local Redshift does not support function hll

-- | WITH NO SCHEMA BINDING needs its tables when the view is created | only when it is read |

CREATE VIEW public.early AS SELECT n FROM public.nowhere WITH NO SCHEMA BINDING;
!42P01 relation "public.nowhere" does not exist

-- | a view finds its tables by name each time it is read, and DROP TABLE does not ask about views | a view without NO SCHEMA BINDING follows a renamed table, and keeps it from being dropped (2BP01) |

CREATE VIEW public.bound AS SELECT n FROM public.base;

ALTER TABLE base RENAME TO base2;

SELECT n FROM bound;
!42P01

DROP TABLE base2;

-- | ANALYZE COMPRESSION recommends the encodings that there are | what would save space |

ANALYZE COMPRESSION made;
made|computed|raw|0.00
made|word|raw|0.00
