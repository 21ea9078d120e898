CREATE FUNCTION gin_extract_value_trgm(text, internal, internal) RETURNS internal LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'void_in';
CREATE FUNCTION gin_extract_query_trgm(text, internal, int2, internal, internal, internal, internal) RETURNS internal LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'void_in';
CREATE FUNCTION gin_trgm_consistent(internal, int2, text, int4, internal, internal, internal, internal) RETURNS bool LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'void_in';
CREATE OPERATOR CLASS gin_trgm_ops FOR TYPE text USING gin AS
  FUNCTION 2 gin_extract_value_trgm(text, internal, internal),
  FUNCTION 3 gin_extract_query_trgm(text, internal, int2, internal, internal, internal, internal),
  FUNCTION 4 gin_trgm_consistent(internal, int2, text, int4, internal, internal, internal, internal),
  STORAGE int4;
