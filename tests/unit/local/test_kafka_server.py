from services.local.kafka import new_cluster_id


def test_a_cluster_id_is_never_taken_for_an_option() -> None:
    ids = {new_cluster_id() for _ in range(2_000)}
    assert len(ids) == 2_000
    assert all(len(cluster) == 22 and cluster[0].isalpha() for cluster in ids)
