"""A PCO resource becomes a row: pure, without database, network and clock.

Enter by `transform.transform_page`. `content_hash` is the same for every shape of request; `reprojection` brings values
to columns that came later. Nothing here knows whose page it is.
"""
