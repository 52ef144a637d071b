-- Statements of Redshift's dialect and what a cluster answers. A blank line ends a row of the table: the statement, then
-- its rows with values joined by |, NULL as ∅; or !SQLSTATE and the beginning of the message. A statement without an
-- answer prepares others. Answers follow the examples of the SQL reference where it has them.

CREATE TABLE public.nums (n INT);

INSERT INTO nums VALUES (1), (2), (3), (4), (5);

CREATE TABLE public.docs (j SUPER);

INSERT INTO docs SELECT JSON_PARSE('{"a": {"b": [{"c": 1}]}, "s": "text", "n": 5}');

CREATE TABLE public.sales (id INT, region VARCHAR(16), amount NUMERIC(10,2), sold DATE, qty SMALLINT, big BIGINT, ratio DOUBLE PRECISION, at TIMESTAMP);

INSERT INTO sales VALUES (1, 'north', 10.50, '2026-01-15', 1, 10000000000, 0.5, '2026-01-15 10:00:00'), (2, 'south', 20.25, '2026-02-15', 2, 20000000000, 0.25, '2026-02-15 11:30:00'), (3, 'north', 5.00, '2026-02-28', 4, 5, 1.5, '2026-02-28 23:59:59'), (4, NULL, NULL, NULL, NULL, NULL, NULL, NULL);

CREATE TABLE public.orders (order_id INT, products SUPER);

INSERT INTO orders SELECT 1001, JSON_PARSE('[{"product_id": "P456", "name": "Monitor", "price": 299.99, "quantity": 1}]');

INSERT INTO orders SELECT 1002, JSON_PARSE('[{"product_id": "P567", "name": "USB Cable", "price": 9.99, "quantity": 3}, {"product_id": "P678", "name": "Headphones", "price": 159.99, "quantity": 1, "tags": ["audio", "wireless"]}]');

INSERT INTO orders SELECT 1003, JSON_PARSE('[]');

-- Literals, comments, names

SELECT 'a\'b', 'tab\there', 'it''s', 'back\\slash', E'x\ny';
a'b|tab	here|it's|back\slash|x↵y

SELECT $$it's$$, $tag$a$b$tag$;
it's|a$b

SELECT 1 -- comment; with a semicolon
 + /* nested /* */ */ 1;
2

SELECT UPPER(Word) FROM (SELECT 'x' AS WORD) AS Sub;
X

SELECT "Sub"."WORD" FROM (SELECT 'x' AS word) sub;
x

SELECT describe, show FROM (SELECT 1 AS describe, 2 AS show) pivot;
1|2

SELECT 1e3, 1.50, .5, -3, +4;
1000|1.50|0.5|-3|4

SELECT TRUE, FALSE, NULL, 't'::BOOLEAN, 'no'::BOOLEAN, 1::BOOLEAN, 0::BOOLEAN;
t|f|∅|t|f|t|f

VALUES (1, 'a'), (2, 'b');
1|a
2|b

SELECT 'a' 'b';
!42601

-- Operators

SELECT 7 / 2, -7 / 2, 7 % 2, -7 % 2, MOD(10, 4);
3|-3|1|-1|2

SELECT 7.0 / 2;
3.5

SELECT 1 / 0;
!22012 Divide by zero

SELECT n / (n - 3) FROM nums;
!22012 Divide by zero

SELECT 5 % (n - n) FROM nums;
!22012 Divide by zero

SELECT 1.5 / 0.0;
!22012 Divide by zero

SELECT n, CASE WHEN n > 3 THEN 10 / (n - 3) END FROM nums WHERE n > 2 ORDER BY n;
3|∅
4|10
5|5

SELECT 2 ^ 10, |/ 25, ||/ 27, @ -5;
1024|5|3|5

SELECT 91 & 15, 32 | 3, 17 # 5, ~1, 1 << 4, 16 >> 2;
11|35|20|-2|16|4

SELECT NULL || 'a', CONCAT('a', NULL), CONCAT('a', 'b'), 'a' || 'b' || 'c', CONCAT(1, 2);
∅|∅|ab|abc|12

SELECT 1 < 2, 1 <> 2, 1 != 2, NULL = NULL, NULL IS NULL, 1 IS NOT NULL, NOT TRUE;
t|t|t|∅|t|t|f

SELECT n BETWEEN 1 AND 2, n IN (1, 2), NOT n = 1, n NOT IN (2), n IS DISTINCT FROM 3 FROM nums WHERE n = 2;
t|t|t|f|t

-- Pattern matching

SELECT 'abc' LIKE 'a%', 'abc' LIKE 'A%', 'abc' ILIKE 'A%', 'abc' NOT LIKE '_b_', 'a_c' LIKE 'a\\_c', 'abc' LIKE 'a\\_c';
t|f|t|f|t|f

SELECT 'a%c' LIKE 'a#%c' ESCAPE '#', 'abc' LIKE 'a#%c' ESCAPE '#';
t|f

SELECT 'abc' SIMILAR TO '%(b|d)%', 'abc' SIMILAR TO '(b|c)%', 'abc' SIMILAR TO 'a_c', 'a.c' SIMILAR TO 'a.c', 'abc' SIMILAR TO 'a.c', 'aaa' SIMILAR TO 'a{3}', 'abc' NOT SIMILAR TO 'x%';
t|f|t|t|f|t|t

SELECT 'abc' ~ 'b', 'abc' ~ '^b', 'ABC' ~* 'b', 'abc' !~ 'b', 'abc' !~* 'B', 'abc' ~ '^a.c$', 'a1' ~ '[[:digit:]]';
t|f|t|f|f|t|t

SELECT n FROM nums WHERE n::VARCHAR ~ '^[12]$' ORDER BY 1;
1
2

-- Conditional expressions

SELECT NVL(NULL, 2), NVL(NULL, NULL, 3), NVL2(NULL, 1, 2), NVL2(7, 1, 2), COALESCE(NULL, 4), NULLIF(1, 1), NULLIF(1, 2);
2|3|2|1|4|∅|1

SELECT DECODE(2, 1, 'a', 2, 'b', 'c'), DECODE(9, 1, 'a', 'c'), DECODE(NULL, NULL, 'n'), DECODE(9, 1, 'a');
b|c|n|∅

SELECT GREATEST(1, NULL, 3), LEAST(NULL, 2), GREATEST('a', 'c', 'b'), GREATEST(NULL, NULL);
3|2|c|∅

SELECT CASE n WHEN 1 THEN 'one' WHEN 2 THEN 'two' ELSE 'more' END FROM nums WHERE n < 4 ORDER BY n;
one
two
more

SELECT CASE WHEN n > 1 THEN 'many' ELSE 'one' END::VARCHAR(2) FROM nums WHERE n = 2;
ma

-- Casts and types

SELECT 'abcdef'::VARCHAR(3), CAST('äöü' AS VARCHAR(3)), 12::VARCHAR, '1'::INT, CAST('1.5' AS NUMERIC(4,1)), CONVERT(INTEGER, '7');
abc|ä|12|1|1.5|7

SELECT 1.50::NUMERIC(18,2), 1e300::DOUBLE PRECISION, 0.1::REAL, 3::SMALLINT, DATE '2026-11-21', TIMESTAMPTZ '2026-11-21 06:15:02.5+02';
1.50|1e+300|0.1|3|2026-11-21|2026-11-21 04:15:02.5+00

SELECT 1.555::NUMERIC(5,2), 2.5::INT, 3.5::INT, (-2.5)::INT;
1.56|3|4|-3

SELECT TRY_CAST('x' AS INT), TRY_CAST('7' AS INT), TRY_CAST('2026-02-30' AS DATE);
∅|7|∅

SELECT 'x'::INT;
!22P02 invalid input syntax for integer: "x"

SELECT 'x'::NUMERIC(4,1);
!22P02

SELECT '2026-13-01'::DATE;
!22

SELECT 40000::SMALLINT;
!22003

SELECT 12345.6::NUMERIC(4,1);
!22003

SELECT true::INT, 't'::VARCHAR, DATE '2026-01-01'::VARCHAR, TIMESTAMP '2026-01-01 10:00:00'::VARCHAR, TIMESTAMP '2026-01-01 10:00:00'::DATE;
1|t|2026-01-01|2026-01-01 10:00:00|2026-01-01

SELECT '10:30'::TIME, TIME '10:30:15';
10:30:00|10:30:15

-- String functions

SELECT LEN('abc'), LENGTH('äb'), CHAR_LENGTH('äb'), CHARACTER_LENGTH('ä'), TEXTLEN('abc'), OCTET_LENGTH('äb');
3|2|2|1|3|3

SELECT CHARINDEX('fish', 'dogfish'), CHARINDEX('x', 'dogfish'), STRPOS('dogfish', 'fish'), POSITION('fish' IN 'dogfish'), OCTETINDEX('b', 'äb');
4|0|4|4|3

SELECT LEFT('Chicago', 3), RIGHT('Chicago', 3), SUBSTRING('caterpillar', 6, 4), SUBSTRING('caterpillar', 6), SUBSTR('caterpillar', 0, 4), SUBSTRING('caterpillar', -2, 4), SUBSTRING('abc' FROM 2 FOR 1);
Chi|ago|pill|pillar|cat|c|b

SELECT TRIM('  a '), TRIM(BOTH 'x' FROM 'xxax'), LTRIM('xxa', 'x'), RTRIM('axx', 'x'), BTRIM(' y '), BTRIM('xyaxy', 'yx'), LTRIM('  a');
a|a|a|a|y|a|a

SELECT LPAD('cat', 5), LPAD('cat', 6, 'dog'), RPAD('cat', 6, 'dog'), LPAD('cat', 2), RPAD('cat', 2, 'x');
  cat|dogcat|catdog|ca|ca

SELECT UPPER('abc'), LOWER('ABC'), INITCAP('nibh.quisque-sit AMET'), REVERSE('abc'), REPEAT('ab', 2), REPLICATE('ab', 2);
ABC|abc|Nibh.Quisque-Sit Amet|cba|abab|abab

SELECT REPLACE('mint tea', 'tea', 'chai'), TRANSLATE('mint tea', 'inea', 'osin'), SPLIT_PART('abc$def$ghi', '$', 2), SPLIT_PART('abc$def$ghi', '$', 4);
mint chai|most tin|def|

SELECT ASCII('amazon'), CHR(65), CHR(228), QUOTE_IDENT('"CAT"'), QUOTE_IDENT('cat'), QUOTE_LITERAL('it''s');
97|A|ä|"""CAT"""|cat|'it''s'

SELECT MD5('Amazon Redshift'), SHA1('Amazon Redshift'), FUNC_SHA1('Amazon Redshift'), SHA('Amazon Redshift');
f7415e33f972c03abd4f3fed36748f7a|eeac5ed1e11cda66032c30ad77b25071b5487f55|eeac5ed1e11cda66032c30ad77b25071b5487f55|eeac5ed1e11cda66032c30ad77b25071b5487f55

SELECT SHA2('1', 256);
6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b

SELECT SOUNDEX('Amazon'), SOUNDEX('Amazonia'), DIFFERENCE('Amazon', 'Amazonas'), DIFFERENCE('AC/DC', 'Ren and Stimpy');
A525|A525|4|0

SELECT STRTOL('abcd1234', 16), STRTOL('1234567', 10), STRTOL('1234567', 8), STRTOL('110101', 2), STRTOL('-ff', 16);
2882343476|1234567|342391|53|-255

SELECT STRTOL('xyz', 16);
!22P02 The input xyz is not valid to be converted to base 16

SELECT TO_HEX(2147676847), FROM_HEX('6162'), TO_VARBYTE('6162', 'hex'), FROM_VARBYTE(FROM_HEX('6162'), 'utf8');
8002f2af|6162|6162|ab

-- Regular expressions

SELECT REGEXP_SUBSTR('a1b22', '[0-9]+'), REGEXP_SUBSTR('a1b22', '[0-9]+', 3), REGEXP_SUBSTR('a1b22c333', '[0-9]+', 1, 3), REGEXP_SUBSTR('abc', 'x'), REGEXP_SUBSTR('the FOX', 'fox', 1, 1, 'i');
1|22|333||FOX

SELECT REGEXP_SUBSTR('name=value', '([a-z]+)=([a-z]+)', 1, 1, 'e');
name

SELECT REGEXP_REPLACE('a1b2', '[0-9]', '-'), REGEXP_REPLACE('a1b2', '[0-9]'), REGEXP_REPLACE('ab', '(a)(b)', '$2$1'), REGEXP_REPLACE('a1b2', '[0-9]', '-', 3), REGEXP_REPLACE('the Fox', 'FOX', 'quick', 1, 'i');
a-b-|ab|ba|a1b-|the quick

SELECT REGEXP_COUNT('a1b2', '[0-9]'), REGEXP_COUNT('abcdefghijklmnopqrstuvwxyz', '[a-z]{3}'), REGEXP_COUNT('a1b2', '[0-9]', 3), REGEXP_COUNT('the fox', 'FOX', 1, 'i');
2|8|1|1

SELECT REGEXP_INSTR('The Home Depot Center', '[cC]ent(er|re)$'), REGEXP_INSTR('abc', 'x'), REGEXP_INSTR('the fox', 'FOX', 1, 1, 0, 'i'), REGEXP_INSTR('abcabc', 'b', 1, 2), REGEXP_INSTR('abc', 'b', 1, 1, 1);
16|0|5|5|3

-- Numbers

SELECT ABS(-38), CEIL(12.1), CEILING(12.1), FLOOR(12.9), SIGN(-2), ROUND(28.05, 1), ROUND(-1.5), ROUND(155, -1), TRUNC(111.86), TRUNC(111.86, 1), TRUNC(-1.9);
38|13|13|12|-1|28.1|-2|160|111|111.8|-1

SELECT SQRT(16), CBRT(27), POWER(2, 3), POW(2, 3), EXP(0), DEXP(0), LN(1), DLOG1(1), LOG(100), DLOG10(100), PI() > 3.14;
4|3|8|8|1|1|0|0|2|2|t

SELECT DEGREES(PI()), RADIANS(180) = PI(), SIN(0), COS(0), TAN(0), ASIN(0), ACOS(1), ATAN(0), ATAN2(0, 1), ROUND(COT(1), 4);
180|t|0|1|0|0|0|0|0|0.6421

SELECT RANDOM() BETWEEN 0 AND 1;
t

-- Aggregates

SELECT COUNT(*), COUNT(DISTINCT n), SUM(n), MIN(n), MAX(n), AVG(n) FROM nums;
5|5|15|1|5|3

SELECT AVG(n), AVG(n * 1.0), AVG(n::DOUBLE PRECISION) FROM nums WHERE n < 3;
1|1.5|1.5

SELECT SUM(qty), SUM(id), SUM(big), SUM(amount), SUM(ratio), AVG(amount), AVG(qty), AVG(big) FROM sales;
7|10|30000000005|35.75|2.25|11.92|2|10000000001

SELECT SUM(n), AVG(n), COUNT(n), MAX(n) FROM nums WHERE n > 9;
∅|∅|0|∅

SELECT region, SUM(amount), COUNT(*) FROM sales GROUP BY region ORDER BY region;
north|15.50|2
south|20.25|1
∅|∅|1

SELECT region, AVG(qty) AS q FROM sales GROUP BY 1 HAVING AVG(qty) > 1 ORDER BY 2 DESC, 1;
north|2
south|2

SELECT APPROXIMATE COUNT(DISTINCT n) FROM nums;
5

SELECT STDDEV(n), STDDEV_SAMP(n), STDDEV_POP(n), VARIANCE(n), VAR_SAMP(n), VAR_POP(n) FROM nums;
1.58113883008419|1.58113883008419|1.4142135623731|2.5|2.5|2

SELECT MEDIAN(n), PERCENTILE_CONT(0.25) WITHIN GROUP (ORDER BY n), PERCENTILE_CONT(0.25) WITHIN GROUP (ORDER BY n DESC), PERCENTILE_DISC(0.5) WITHIN GROUP (ORDER BY n) FROM nums;
3|2|4|3

SELECT BIT_AND(n), BIT_OR(n), BOOL_AND(n > 0), BOOL_OR(n > 4), ANY_VALUE(1) FROM nums;
0|7|t|t|1

SELECT LISTAGG(n, ',') WITHIN GROUP (ORDER BY n DESC), LISTAGG(n) WITHIN GROUP (ORDER BY n) FROM nums;
5,4,3,2,1|12345

SELECT LISTAGG(DISTINCT region, '; ') WITHIN GROUP (ORDER BY region) FROM sales;
north; south

SELECT LISTAGG(region, ', ') FROM sales WHERE id > 3;
∅

SELECT LISTAGG(REPEAT('x', 30000)) FROM nums;
!54000 Result size exceeds LISTAGG limit

SELECT region, LISTAGG(id, '/') WITHIN GROUP (ORDER BY id) OVER (PARTITION BY region) FROM sales WHERE region IS NOT NULL ORDER BY id;
north|1/3
south|2
north|1/3

SELECT SUM(DISTINCT x), AVG(DISTINCT x), COUNT(DISTINCT x) FROM (SELECT 1 AS x UNION ALL SELECT 1 UNION ALL SELECT 4) t;
5|2|2

SELECT SUM(COUNT(*)) OVER (), COUNT(*) FROM sales GROUP BY region ORDER BY 2 DESC;
4|2
4|1
4|1

SELECT MAX(region), MIN(sold), MAX(at) FROM sales;
south|2026-01-15|2026-02-28 23:59:59

SELECT SUM(n) AS total, total * 2 AS double_total FROM nums;
15|30

SELECT n + 1 AS m, SUM(m) OVER () FROM nums WHERE n < 3 ORDER BY 1;
2|5
3|5

-- Grouping

SELECT region, SUM(qty) FROM sales WHERE id < 4 GROUP BY ROLLUP (region) ORDER BY 1, 2;
north|5
south|2
∅|7

SELECT region, GROUPING(region), COUNT(*) FROM sales WHERE id < 4 GROUP BY CUBE (region) ORDER BY 2, 1;
north|0|2
south|0|1
∅|1|3

SELECT region, id, COUNT(*) FROM sales WHERE id < 3 GROUP BY GROUPING SETS ((region), (id)) ORDER BY 1, 2;
north|∅|1
south|∅|1
∅|1|1
∅|2|1

-- Window functions

SELECT n, LAG(n) OVER (ORDER BY n), LEAD(n, 2) OVER (ORDER BY n), LAG(n, 1, 0) OVER (ORDER BY n) FROM nums ORDER BY n LIMIT 2;
1|∅|3|0
2|1|4|1

SELECT n, SUM(n) OVER (ORDER BY n ROWS UNBOUNDED PRECEDING), AVG(n) OVER (ORDER BY n ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) FROM nums ORDER BY n;
1|1|1
2|3|2
3|6|3
4|10|4
5|15|4

SELECT ROW_NUMBER() OVER (ORDER BY n DESC), RANK() OVER (ORDER BY n / 2), DENSE_RANK() OVER (ORDER BY n / 2), NTILE(2) OVER (ORDER BY n), PERCENT_RANK() OVER (ORDER BY n), CUME_DIST() OVER (ORDER BY n) FROM nums ORDER BY n;
5|1|1|1|0|0.2
4|2|2|1|0.25|0.4
3|2|2|1|0.5|0.6
2|4|3|2|0.75|0.8
1|4|3|2|1|1

SELECT MAX(v) FROM (SELECT LAST_VALUE(x) IGNORE NULLS OVER (ORDER BY y ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS v FROM (SELECT 1 AS x, 1 AS y UNION ALL SELECT NULL, 2)) t;
1

SELECT FIRST_VALUE(n) OVER (ORDER BY n ROWS UNBOUNDED PRECEDING), NTH_VALUE(n, 2) OVER (ORDER BY n ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) FROM nums WHERE n > 3 ORDER BY n;
4|5
4|5

SELECT id, RATIO_TO_REPORT(qty) OVER (PARTITION BY region) FROM sales WHERE region IS NOT NULL ORDER BY id;
1|0.2
2|1
3|0.8

SELECT region, MEDIAN(qty) OVER (PARTITION BY region), PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY qty) OVER (PARTITION BY region) FROM sales WHERE region IS NOT NULL ORDER BY id;
north|2.5|2.5
south|2|2
north|2.5|2.5

SELECT n FROM nums QUALIFY ROW_NUMBER() OVER (ORDER BY n DESC) = 1;
5

SELECT region, id FROM sales QUALIFY ROW_NUMBER() OVER (PARTITION BY region ORDER BY id DESC) = 1 ORDER BY id;
south|2
north|3
∅|4

-- Order, limits, sets

SELECT n FROM (SELECT 1 AS n UNION ALL SELECT NULL) t ORDER BY n;
1
∅

SELECT n FROM (SELECT 1 AS n UNION ALL SELECT NULL) t ORDER BY n DESC;
∅
1

SELECT n FROM (SELECT 1 AS n UNION ALL SELECT NULL) t ORDER BY n DESC NULLS LAST;
1
∅

SELECT TOP 2 n FROM nums ORDER BY n DESC;
5
4

SELECT n FROM nums ORDER BY n LIMIT 2 OFFSET 1;
2
3

SELECT n FROM nums WHERE n < 3 MINUS SELECT 1;
2

SELECT n FROM nums WHERE n < 3 EXCEPT SELECT 1;
2

SELECT n FROM nums WHERE n < 3 INTERSECT SELECT 1;
1

SELECT 1 UNION SELECT 1 UNION ALL SELECT 1;
1
1

(SELECT 1) UNION ALL (SELECT 2) ORDER BY 1 DESC;
2
1

SELECT DISTINCT n / 2 FROM nums ORDER BY 1;
0
1
2

-- Joins, subqueries, common table expressions

SELECT a.n FROM nums a, nums b WHERE a.n = b.n AND a.n > ALL (SELECT 4);
5

SELECT a.n, b.n FROM nums a LEFT JOIN nums b ON b.n = a.n + 4 WHERE a.n < 3 ORDER BY 1;
1|5
2|∅

SELECT n FROM nums JOIN (SELECT 2 AS n) t USING (n);
2

SELECT SUM(n) FROM nums WHERE n IS DISTINCT FROM 5 AND EXISTS (SELECT 1 FROM docs);
10

SELECT n, (SELECT COUNT(*) FROM nums b WHERE b.n < a.n) FROM nums a WHERE n IN (SELECT 2) OR n = ANY (SELECT 3) ORDER BY 1;
2|1
3|2

WITH a AS (SELECT n FROM nums), b (m) AS (SELECT n * 2 FROM a) SELECT SUM(m) FROM b;
30

WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 4) SELECT SUM(n) FROM r;
10

SELECT * FROM (SELECT region, qty FROM sales WHERE id < 4) PIVOT (SUM(qty) FOR region IN ('north', 'south'));
5|2

SELECT id, kind, value FROM (SELECT id, qty::BIGINT AS qty, big FROM sales WHERE id = 3) UNPIVOT (value FOR kind IN (qty, big)) ORDER BY 2;
3|big|5
3|qty|4

-- Dates and times

SELECT DATEADD(day, 1, '2026-02-28'), DATEADD(second, -86400, TIMESTAMP '2026-11-21 00:00:00'), DATEADD(mon, 1, TIMESTAMP '2026-01-31 10:00:00');
2026-03-01 00:00:00|2026-11-20 00:00:00|2026-02-28 10:00:00

SELECT DATEADD('hour', 2, TIMESTAMP '2026-11-21 06:15:02.113'), DATEADD(qtr, 1, DATE '2026-01-01'), DATEADD(w, 1, DATE '2026-01-01'), DATEADD(ms, 5, TIMESTAMP '2026-01-01');
2026-11-21 08:15:02.113|2026-04-01 00:00:00|2026-01-08 00:00:00|2026-01-01 00:00:00.005

SELECT DATEADD(month, 18, sold) FROM sales WHERE id = 3;
2027-08-28 00:00:00

SELECT DATEDIFF(day, '2026-01-01', '2026-01-31'), DATEDIFF(hour, '2026-01-01 00:59:00', '2026-01-01 01:01:00'), DATEDIFF(year, DATE '2025-12-31', DATE '2026-01-01'), DATEDIFF(week, '2009-01-01', '2009-12-31'), DATEDIFF(qtr, '1998-07-01', '2026-01-01'), DATEDIFF(month, '2026-03-01', '2026-01-31');
30|1|1|52|110|-2

SELECT DATE_PART(dow, '2026-11-21'), DATE_PART('month', TIMESTAMP '2026-11-21 06:15:02'), DATE_PART(week, '2026-01-01'), DATE_PART(doy, '2026-02-01'), DATE_PART(minute, TIMESTAMP '2026-11-21 06:15:02'), DATE_PART(epoch, TIMESTAMP '1970-01-02 00:00:00'), DATE_PART_YEAR('2026-02-01');
6|11|1|32|15|86400|2026

SELECT EXTRACT(epoch FROM TIMESTAMP '1970-01-02 00:00:00'), EXTRACT(year FROM DATE '2026-01-01'), EXTRACT(ms FROM TIMESTAMP '2026-01-01 00:00:01.5'), EXTRACT(qtr FROM sold) FROM sales WHERE id = 1;
86400|2026|1500|1

SELECT DATE_TRUNC('month', TIMESTAMP '2026-11-21 06:15:02'), DATE_TRUNC('week', TIMESTAMP '2026-11-21 06:15:02'), DATE_TRUNC('quarter', sold), DATE_TRUNC('hour', at) FROM sales WHERE id = 2;
2026-11-01 00:00:00|2026-11-16 00:00:00|2026-01-01 00:00:00|2026-02-15 11:00:00

SELECT TRUNC(at), TRUNC(TIMESTAMP '2026-11-21 06:15:02'), TRUNC(ratio), TRUNC(amount), TRUNC(qty) FROM sales WHERE id = 3;
2026-02-28|2026-11-21|1|5|4

SELECT GETDATE() <= SYSDATE, DATEDIFF(second, GETDATE(), SYSDATE) < 2, GETDATE() = DATE_TRUNC('second', GETDATE()), TRUNC(SYSDATE) = CURRENT_DATE;
t|t|t|t

SELECT ADD_MONTHS(DATE '2026-01-31', 1), ADD_MONTHS('2008-03-31', 1), ADD_MONTHS('2008-04-30', 1), ADD_MONTHS('2026-05-15', -3);
2026-02-28 00:00:00|2008-04-30 00:00:00|2008-05-31 00:00:00|2026-02-15 00:00:00

SELECT MONTHS_BETWEEN('1969-01-18', '1969-03-18'), MONTHS_BETWEEN('2026-02-28', '2026-01-31'), ROUND(MONTHS_BETWEEN('2026-03-15', '2026-02-01'), 4);
-2|1|1.4516

SELECT LAST_DAY('2026-02-10'), NEXT_DAY('2014-08-20', 'Tuesday'), NEXT_DAY('2014-08-20', 'We');
2026-02-28|2014-08-26|2014-08-27

SELECT DATE_CMP('2026-01-01', '2026-01-02'), TIMESTAMP_CMP('2026-01-02 00:00:00', '2026-01-01 00:00:00'), DATE_CMP_TIMESTAMP('2026-01-01', '2026-01-01 00:00:00');
-1|1|0

SELECT CONVERT_TIMEZONE('Europe/Berlin', TIMESTAMP '2026-07-01 12:00:00'), CONVERT_TIMEZONE('America/New_York', 'UTC', TIMESTAMP '2026-01-01 12:00:00');
2026-07-01 14:00:00|2026-01-01 17:00:00

SELECT TIMESTAMP '2026-07-01 12:00:00' AT TIME ZONE 'Europe/Berlin', TIMEZONE('Europe/Berlin', TIMESTAMP '2026-07-01 12:00:00');
2026-07-01 10:00:00+00|2026-07-01 10:00:00+00

SELECT TIMESTAMP '2026-01-01' + INTERVAL '1 day', DATE '2026-01-01' + 7, DATE '2026-01-10' - DATE '2026-01-01', TIMESTAMP '2026-01-01' - INTERVAL '1 month';
2026-01-02 00:00:00|2026-01-08|9|2025-12-01 00:00:00

SELECT TIMESTAMP '2026-01-01' + INTERVAL '1w, 1h, 1m, 1s', DATE '2026-01-01' + INTERVAL '52 days', TIMESTAMP '2026-01-01' + INTERVAL '0.5 days', TIMESTAMP '2026-01-01' + INTERVAL '3' DAY;
2026-01-08 01:01:01|2026-02-22 00:00:00|2026-01-01 12:00:00|2026-01-04 00:00:00

SELECT TIMESTAMP '2026-01-01 10:00:00' - TIMESTAMP '2026-01-01 09:00:00' = INTERVAL '1 hour', sold + INTERVAL '1 year' FROM sales WHERE id = 1;
t|2027-01-15 00:00:00

SELECT DATEADD(fortnight, 1, '2026-01-01');
!22023

SELECT DATE(at), DATE('2026-01-05'), DATE(SYSDATE) = CURRENT_DATE FROM sales WHERE id = 1;
2026-01-15|2026-01-05|t

SELECT DATE(at) AS day, COUNT(*) FROM sales WHERE at IS NOT NULL GROUP BY DATE(at) ORDER BY day;
2026-01-15|1
2026-02-15|1
2026-02-28|1

SELECT DATEDIFF(day, 'x', 'y');
!22007 invalid input syntax for type timestamp: "x"

SELECT '2024-13-01'::DATE;
!22008 date/time field value out of range: "2024-13-01"

-- Formatting

SELECT TO_CHAR(TIMESTAMP '2026-11-21 06:15:02', 'YYYY-MM-DD HH24:MI:SS'), TO_CHAR(TIMESTAMP '2026-11-21 18:05:02.123456', 'DD Mon YY HH12:MI:SS.MS AM'), TO_CHAR(DATE '2026-01-05', 'FMDay, FMDD FMMonth YYYY');
2026-11-21 06:15:02|21 Nov 26 06:05:02.123 PM|Monday, 5 January 2026

SELECT TO_CHAR(TIMESTAMP '2009-12-31 23:15:59', 'MONTH-DY-DD-YYYY HH12:MIPM'), TO_CHAR(TIMESTAMP '2009-12-31 23:15:59', 'Q "quarter" IYYY IW DDD D J CC'), TO_CHAR(TIMESTAMP '2009-12-31 23:15:59', 'month|Mon|mon|DAY|dy|W|WW|RM|SSSS|Y,YYY|US');
DECEMBER -THU-31-2009 11:15PM|4 quarter 2009 53 365 5 2455197 21|december |Dec|dec|THURSDAY |thu|5|53|XII |83759|2,009|000000

SELECT TO_CHAR(TIMESTAMP '2026-01-01', 'DDth'), TO_CHAR(TIMESTAMP '2026-01-02', 'FMDDTH'), TO_CHAR(TIMESTAMPTZ '2026-01-01 00:00:00+00', 'HH24:MI TZ');
01st|2ND|00:00 UTC

SELECT TO_CHAR(-125.8, '999D99S'), TO_CHAR(125.8, '999D99'), TO_CHAR(12, '0000'), TO_CHAR(1234567.891, '9,999,999.99'), TO_CHAR(-12, 'FM999'), TO_CHAR(485, '999PR'), TO_CHAR(-485, '999PR');
125.80-| 125.80| 0012| 1,234,567.89|-12| 485 |<485>

SELECT TO_CHAR(0.5, 'FM9.99'), TO_CHAR(0.5, '0.99'), TO_CHAR(1500, '99'), TO_CHAR(22, 'FM$9999.00'), TO_CHAR(7, 'MI999'), TO_CHAR(SUM(n), '999') FROM nums;
.5| 0.50| ##|$22.00|   7|  15

SELECT TO_DATE('21.11.2026', 'DD.MM.YYYY'), TO_DATE('02 Oct 2001', 'DD Mon YYYY'), TO_DATE('20010631', 'YYYYMMDD'), TO_DATE('20260105', 'YYYYMMDD', TRUE);
2026-11-21|2001-10-02|2001-07-01|2026-01-05

SELECT TO_DATE('20010631', 'YYYYMMDD', TRUE);
!22008 date/time field value out of range: "20010631"

SELECT TO_TIMESTAMP('2026-11-21 06', 'YYYY-MM-DD HH24'), TO_TIMESTAMP('2011-12-18 24:38:15', 'YYYY-MM-DD HH24:MI:SS'), TO_TIMESTAMP('05 Dec 2000 01:15 PM', 'DD Mon YYYY HH12:MI PM');
2026-11-21 06:00:00+00|2011-12-19 00:38:15+00|2000-12-05 13:15:00+00

SELECT TO_NUMBER('12,454.8-', '99G999D9S'), TO_NUMBER('$12.50', 'L99.99'), TO_NUMBER('007', '999');
-12454.8|12.50|7

-- JSON text

SELECT JSON_EXTRACT_PATH_TEXT('{"f2":{"f3":1},"f4":{"f5":99,"f6":"star"}}', 'f4', 'f6'), JSON_EXTRACT_PATH_TEXT('{"a":1}', 'c'), JSON_EXTRACT_PATH_TEXT('bad', 'c', true), JSON_EXTRACT_PATH_TEXT('{"a":{"b":[1,2]}}', 'a');
star|∅|∅|{"b":[1,2]}

SELECT JSON_EXTRACT_PATH_TEXT('{bad', 'a');
!XX000 JSON parsing error

SELECT JSON_EXTRACT_ARRAY_ELEMENT_TEXT('[111,112,113]', 2), JSON_EXTRACT_ARRAY_ELEMENT_TEXT('["a",["b",1]]', 1), JSON_EXTRACT_ARRAY_ELEMENT_TEXT('bad', 1, true);
113|["b",1]|∅

SELECT JSON_ARRAY_LENGTH('[11,12,13,{"f1":21,"f2":[25,26]},14]'), JSON_ARRAY_LENGTH('[]'), JSON_ARRAY_LENGTH('[11,12', true);
5|0|∅

SELECT CAN_JSON_PARSE('{"a":1}'), CAN_JSON_PARSE('{'), CAN_JSON_PARSE(NULL), IS_VALID_JSON('{"a":1}'), IS_VALID_JSON('[1]'), IS_VALID_JSON_ARRAY('[1]'), IS_VALID_JSON_ARRAY('{}');
t|f|∅|t|f|t|f

-- SUPER

SELECT JSON_PARSE('{ "a" : [1, 2] }'), JSON_SERIALIZE(JSON_PARSE('[1, 2]')), 'text'::SUPER, CAST('text' AS SUPER), 5::SUPER;
{"a":[1,2]}|[1,2]|"text"|"text"|5

SELECT j.a.b[0].c, j.a.b[0].c::INT + 1, j.s::VARCHAR, j.missing, j.a.b[7] FROM docs;
1|2|text|∅|∅

SELECT docs.j.a.b[0].c, d.j.s FROM docs, docs d;
1|"text"

SELECT j.s = 'text', j.s LIKE 'te%', j.n > 4, j.n = 5, j.s || '!', j.s IN ('a', 'text'), 'text' = j.s FROM docs;
t|t|t|t|text!|t|t

SELECT JSON_TYPEOF(j), JSON_TYPEOF(j.a.b), JSON_TYPEOF(j.s), JSON_TYPEOF(j.n), IS_ARRAY(j.a.b), IS_OBJECT(j.a), IS_VARCHAR(j.s), IS_INTEGER(j.n), IS_SCALAR(j.a), GET_ARRAY_LENGTH(j.a.b) FROM docs;
object|array|string|number|t|t|t|t|f|1

SELECT ARRAY(1, 'two', NULL), ARRAY_CONCAT(ARRAY(1), ARRAY(2, 3)), SUBARRAY(ARRAY('a', 'b', 'c'), 1, 2), SPLIT_TO_ARRAY('12|345|6789', '|'), OBJECT('k', 1), GET_ARRAY_LENGTH(ARRAY(1, 2));
[1,"two",null]|[1,2,3]|["b","c"]|["12","345","6789"]|{"k":1}|2

SELECT o.order_id, p.name::VARCHAR, p.price FROM orders o, o.products p ORDER BY 1, 2;
1001|Monitor|299.99
1002|Headphones|159.99
1002|USB Cable|9.99

SELECT o.order_id, p FROM orders AS o, o.products AS p AT i WHERE i = 0 ORDER BY 1;
1001|{"product_id":"P456","name":"Monitor","price":299.99,"quantity":1}
1002|{"product_id":"P567","name":"USB Cable","price":9.99,"quantity":3}

SELECT o.order_id, i, t, k FROM orders o, o.products p AT i, p.tags t AT k ORDER BY k;
1002|1|"audio"|0
1002|1|"wireless"|1

SELECT o.order_id, p.product_id::VARCHAR FROM orders o LEFT JOIN o.products p ON TRUE ORDER BY 1, 2;
1001|P456
1002|P567
1002|P678
1003|∅

SELECT order_id, SUM(p.quantity * p.price) FROM orders o, o.products p GROUP BY 1 ORDER BY 1;
1001|299.99
1002|189.96

SELECT COUNT(*) FROM orders o, o.products p WHERE p.name = 'Monitor' OR p.price < 10;
2

SELECT attr, val FROM docs d, UNPIVOT d.j AS val AT attr WHERE attr <> 'a' ORDER BY attr;
n|5
s|"text"

SELECT p.name::VARCHAR, COUNT(*) FROM orders, orders.products AS p GROUP BY p.name ORDER BY 1;
Headphones|1
Monitor|1
USB Cable|1

-- Session and leader node

SELECT current_schema(), current_database(), current_user, pg_backend_pid() > 0;
public|millstream|millstream|t

SHOW search_path;
"$user", public

SELECT generate_series FROM generate_series(1, 3);
1
2
3

SELECT generate_series(1, 2);
1
2

SELECT s.n FROM sales, generate_series(1, 3) AS s (n);
!0A000 Specified types or functions

SELECT NOW(), id FROM sales;
!0A000 Specified types or functions

-- Mistakes

SELECT SUM(n) OVER (ORDER BY n) FROM nums;
!0A000 Aggregate window functions with an ORDER BY clause require a frame clause

SELECT COUNT(*) OVER (ORDER BY n), n FROM nums;
!0A000 Aggregate window functions with an ORDER BY clause require a frame clause

SELECT FIRST_VALUE(n) OVER (ORDER BY n) FROM nums;
!0A000 Aggregate window functions with an ORDER BY clause require a frame clause

SELECT SUM(n) OVER w FROM nums WINDOW w AS (ORDER BY n);
!42601 syntax error at or near "w"

SELECT DISTINCT ON (region) region FROM sales;
!0A000 SELECT DISTINCT ON is not supported

SELECT * FROM nums n, LATERAL (SELECT 1) s;
!42601 syntax error at or near "LATERAL"

SELECT n FROM nums FETCH FIRST 1 ROW ONLY;
!42601 syntax error at or near "FETCH"

SELECT ISNULL(NULL, 1), ISNULL(2, 1);
1|2

SELECT IFNULL(NULL, 1);
!42883 function ifnull does not exist

SELECT '12abc'::NUMERIC(10,2);
!22P02 invalid input syntax for type numeric: "12abc"

SELECT * FROM nums JOIN sales USING (n);
!42703 column "n" specified in USING clause does not exist in right table

SELECT nope FROM nums;
!42703 column "nope" does not exist

SELECT nums.nope FROM nums;
!42703 column nums.nope does not exist

SELECT x.n FROM nums;
!42P01 missing FROM-clause entry for table "x"

SELECT * FROM nowhere;
!42P01 relation "nowhere" does not exist

SELECT * FROM nowhere.tracks;
!42P01 relation "nowhere.tracks" does not exist

SELECT region, SUM(qty) FROM sales;
!42803 column "region" must appear in the GROUP BY clause or be used in an aggregate function

SELECT region FROM sales WHERE SUM(qty) > 1;
!42803 aggregates not allowed in WHERE clause

SELECT n FROM nums a, nums b;
!42702 column reference "n" is ambiguous

SELECT FROM WHERE;
!42601 syntax error at or near

SELECT n FROM nums GROUP;
!42601 syntax error

SELECT (1;
!42601 syntax error

SELECT 'open;
!42601 unterminated quoted string

SELECT region + 1 FROM sales;
!42883 operator does not exist: character varying + integer

SELECT region - sold FROM sales;
!42883 operator does not exist: character varying - date

SELECT SUM(region) FROM sales;
!42883 function

SELECT UPPER(1, 2);
!42883 function upper

SELECT nofunction(1);
!42883 function nofunction does not exist

SELECT list_value(1, 2);
!42883 function list_value does not exist

SELECT strftime(SYSDATE, '%Y');
!42883 function strftime does not exist

SELECT read_csv('/etc/passwd');
!42883 function read_csv does not exist

SELECT FNV_HASH('a');
!42883 the local Redshift does not support function fnv_hash

SELECT ST_POINT(1, 2);
!42883 the local Redshift does not support function st_point

SELECT n::NOTYPE FROM nums;
!42704 type "notype" does not exist

SELECT (SELECT n FROM nums);
!21000 more than one row returned by a subquery used as an expression

SELECT n FROM nums UNION SELECT n, n FROM nums;
!42601 each UNION query must have the same number of columns

SELECT n FROM nums ORDER BY 2;
!42P10 ORDER position is not in select list

INSERT INTO nums VALUES (1, 2);
!42601 INSERT has more expressions than target columns

INSERT INTO nums (nope) VALUES (1);
!42703 column "nope" of relation "nums" does not exist

INSERT INTO nums VALUES ('x');
!22P02 invalid input syntax for integer: "x"

UPDATE nums SET nope = 1;
!42703 column "nope" of relation "nums" does not exist

-- DuckDB's own dialect is not Redshift's

SELECT [1, 2];
!42601

SELECT {'a': 1};
!42601

SELECT * EXCLUDE (n) FROM nums;
!42601

SELECT n.* REPLACE (1 AS n) FROM nums n;
!42601

FROM nums;
!0A000 the local Redshift does not support the statement FROM

SELECT COUNT(*) FILTER (WHERE n > 1) FROM nums;
!42601 syntax error at or near "FILTER"

SELECT n FROM nums USING SAMPLE 10;
!42601

SELECT COLUMNS('n') FROM nums;
!42883

SELECT 1::HUGEINT;
!42704 type "hugeint" does not exist

SELECT ARRAY[1, 2];
!42601

SELECT x -> x + 1 FROM nums;
!42601

SELECT n FROM nums GROUP BY ALL;
!42601

SELECT n FROM nums ORDER BY ALL;
!42601

SELECT a.n FROM nums a ASOF JOIN nums b ON a.n >= b.n;
!42601

SELECT a.n FROM nums a POSITIONAL JOIN nums b;
!42601

SELECT n FROM nums LIMIT 10 PERCENT;
!42601

SELECT 'abc' GLOB 'a*';
!42601

SELECT 1_000;
1

SELECT 7 // 2;
!42601

SELECT 2 ** 3;
!42601

-- Tables

CREATE TABLE public.ids (id INT IDENTITY(10, 5), big BIGINT GENERATED BY DEFAULT AS IDENTITY(1, 1), name VARCHAR(8) DEFAULT 'none');

INSERT INTO ids (name) VALUES ('a'), ('b');

INSERT INTO ids (big, name) VALUES (77, 'c');

INSERT INTO ids (id, name) VALUES (DEFAULT, DEFAULT);

INSERT INTO ids DEFAULT VALUES;

SELECT id, big, name FROM ids ORDER BY id;
10|1|a
15|2|b
20|77|c
25|3|none
30|4|none

INSERT INTO ids (id) VALUES (1);
!0A000 cannot set an identity column to a value

SELECT id, name INTO TEMP TABLE copied FROM ids WHERE id < 20;

SELECT * FROM copied ORDER BY 1;
10|a
15|b

CREATE TABLE #scratch (n INT);

INSERT INTO #scratch SELECT n FROM nums WHERE n < 3;

SELECT COUNT(*) FROM #scratch;
2

TRUNCATE #scratch;

SELECT COUNT(*) FROM #scratch;
0

CREATE TABLE public.kept (id INT ENCODE az64, note VARCHAR(8) DEFAULT 'x' ENCODE zstd, c CHAR(3)) DISTSTYLE KEY DISTKEY (id) SORTKEY (id);

CREATE TABLE public.liked (LIKE kept);

CREATE TABLE public.liked_too (LIKE kept INCLUDING DEFAULTS);

INSERT INTO liked (id) VALUES (1);

INSERT INTO liked_too (id) VALUES (1);

SELECT l.note, t.note FROM liked l, liked_too t;
∅|x

SELECT "column", type, encoding, distkey, sortkey FROM pg_table_def WHERE tablename = 'liked';
id|integer|az64|t|1
note|character varying(8)|zstd|f|0
c|character(3)|none|f|0

ALTER TABLE liked ALTER COLUMN note ENCODE lzo, ALTER COLUMN id ENCODE raw;

ALTER TABLE liked ALTER DISTSTYLE EVEN;

ALTER TABLE liked ALTER COMPOUND SORTKEY (note, id);

SELECT "column", encoding, distkey, sortkey FROM pg_table_def WHERE tablename = 'liked';
id|raw|f|2
note|lzo|f|1
c|none|f|0

ALTER TABLE liked ALTER DISTKEY id;

SELECT diststyle FROM svv_table_info WHERE "table" = 'liked';
KEY(id)

ALTER TABLE liked ALTER DISTSTYLE ALL;

ALTER TABLE liked ALTER SORTKEY NONE;

SELECT "column", distkey, sortkey FROM pg_table_def WHERE tablename = 'liked';
id|f|0
note|f|0
c|f|0

ALTER TABLE liked ALTER COLUMN note ENCODE snappy;
!42704

ALTER TABLE liked ALTER DISTKEY nope;
!42703

ALTER TABLE liked ALTER COLUMN note TYPE VARCHAR(16);

ALTER TABLE liked ALTER COLUMN id TYPE BIGINT;
!0A000

ALTER TABLE liked ADD COLUMN extra INT DEFAULT 7;

SELECT extra FROM liked;
7

ALTER TABLE liked RENAME COLUMN extra TO more;

ALTER TABLE liked DROP COLUMN more;

ALTER TABLE liked APPEND FROM kept;
!0A000

ANALYZE liked PREDICATE COLUMNS;

ANALYZE liked (id);

ANALYZE nowhere;
!42P01

VACUUM SORT ONLY liked TO 95 PERCENT;

VACUUM DELETE ONLY nowhere;
!42P01

ANALYZE COMPRESSION liked;
liked|id|raw|0.00
liked|note|lzo|0.00
liked|c|raw|0.00

DROP TABLE liked, liked_too;

DROP TABLE IF EXISTS liked;

DROP TABLE liked;
!42P01 Table "liked" does not exist

-- Writes

INSERT INTO kept VALUES (1, 'a', 'xyz'), (2, DEFAULT, NULL);

INSERT INTO kept VALUES (3, 'too long for 8', 'x');
!22001 value too long for type character varying(8)

INSERT INTO kept VALUES (3, 'a', 'wxyz');
!22001 value too long for type character(3)

UPDATE kept SET note = 'too long for 8';
!22001 value too long for type character varying(8)

UPDATE kept SET c = 'wxyz' WHERE id = 1;
!22001 value too long for type character(3)

UPDATE sales SET amount = 123456789.5 WHERE id = 1;
!22003 numeric field overflow

UPDATE kept SET note = n.word FROM (SELECT 2 AS id, 'two' AS word) n WHERE kept.id = n.id;

DELETE FROM kept USING (SELECT 1 AS id) d WHERE kept.id = d.id;

SELECT * FROM kept;
2|two|∅

CREATE TABLE public.target (id INT, name VARCHAR(10));

CREATE TABLE public.source (id INT, name VARCHAR(10));

INSERT INTO target VALUES (101, 'Bob'), (102, 'John'), (103, 'Susan');

INSERT INTO source VALUES (102, 'Tony'), (103, 'Alice'), (104, 'Bill');

MERGE INTO target USING source ON target.id = source.id WHEN MATCHED THEN UPDATE SET id = source.id, name = source.name WHEN NOT MATCHED THEN INSERT VALUES (source.id, source.name);

SELECT * FROM target ORDER BY id;
101|Bob
102|Tony
103|Alice
104|Bill

MERGE INTO target USING source ON target.id = source.id WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (source.id, source.name);

SELECT * FROM target ORDER BY id;
101|Bob

MERGE INTO target USING source ON target.id = source.id WHEN MATCHED THEN UPDATE SET name = 'longer than 10' WHEN NOT MATCHED THEN INSERT VALUES (source.id, 'longer than 10');
!22001 value too long for type character varying(10)

TRUNCATE target;

TRUNCATE source;

INSERT INTO target VALUES (30, 'Tony'), (30, 'Daisy'), (11, 'Alice'), (23, 'Bill'), (23, 'Nikki');

INSERT INTO source VALUES (23, 'David'), (22, 'Clarence');

MERGE INTO target USING source ON target.id = source.id REMOVE DUPLICATES;

SELECT * FROM target ORDER BY 1, 2;
11|Alice
22|Clarence
23|David
30|Daisy
30|Tony

MERGE INTO target USING (SELECT 1 AS id) s ON target.id = s.id WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (1, 'x');
!0A000

-- Views

CREATE VIEW public.recent AS SELECT id, SUM(amount) AS total, AVG(qty) AS q FROM sales GROUP BY id;

SELECT * FROM recent WHERE id = 1;
1|10.50|1

CREATE OR REPLACE VIEW public.recent AS SELECT COUNT(*) AS n FROM sales;

SELECT n FROM recent;
4

CREATE VIEW public.late AS SELECT id FROM public.sales WITH NO SCHEMA BINDING;

SELECT COUNT(*) FROM late;
4

DROP VIEW late;

CREATE TABLE public.made AS SELECT region, SUM(qty) AS qty, AVG(big) AS big, TRUNC(MAX(at)) AS day, COUNT(*) AS n FROM sales GROUP BY region;

SELECT "column", type FROM pg_table_def WHERE tablename = 'made';
region|character varying(16)
qty|bigint
big|bigint
day|date
n|bigint

SELECT region, day FROM made ORDER BY region;
north|2026-02-28
south|2026-02-15
∅|∅
