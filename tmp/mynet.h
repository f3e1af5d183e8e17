
#include <eml_net.h>
static const float mynet_layer_0_biases[20] = { -1.331693f, -1.118668f, 1.288797f, -0.677687f, 0.098762f, -0.087948f, 0.564311f, 0.352490f, 0.444572f, -0.791931f, 0.040600f, -0.198568f, -0.847027f, -0.412947f, -0.163231f, 0.544698f, 0.187002f, -0.696201f, -0.061425f, -0.870516f };
static const float mynet_layer_0_weights[60] = { -1.666687f, -0.249687f, -0.799089f, -1.246878f, -0.419475f, 0.267019f, -1.502191f, 0.374761f, -0.697191f, 2.062352f, -0.167027f, -0.376625f, -0.238641f, 0.014102f, 0.910181f, 0.763805f, -1.330518f, -0.587339f, 0.528937f, -0.416656f, 0.419983f, -1.794172f, -0.488946f, -0.530635f, 1.266161f, -0.388130f, -0.084928f, 1.215085f, -0.279693f, -0.304230f, -0.619392f, -0.056048f, 1.542251f, -0.718600f, 0.768432f, 0.023317f, -1.090367f, 0.063964f, 0.016680f, -0.382567f, 0.143315f, -0.188972f, 1.155221f, -0.241225f, -0.140230f, -1.642163f, 0.268542f, 0.061053f, -1.722629f, -0.439809f, 0.440801f, -0.575053f, -0.019092f, 0.193840f, -0.472272f, 0.328837f, 0.657743f, 0.017609f, 0.860873f, 0.591423f };
static const float mynet_layer_1_biases[1] = { 0.212838f };
static const float mynet_layer_1_weights[20] = { 0.152634f, 0.290651f, -0.174292f, -0.215818f, -0.186194f, 0.054942f, -0.236317f, 0.321421f, -0.188635f, 0.280558f, 0.149627f, -0.520547f, -0.527276f, 0.417809f, 0.719982f, 0.416984f, -0.609792f, 0.434175f, 0.472935f, -0.589050f };
static float mynet_buf1[20];
static float mynet_buf2[20];
static const EmlNetLayer mynet_layers[2] = { 
{ 20, 3, mynet_layer_0_weights, mynet_layer_0_biases, EmlNetActivationRelu }, 
{ 1, 20, mynet_layer_1_weights, mynet_layer_1_biases, EmlNetActivationIdentity } };
static EmlNet mynet = { 2, mynet_layers, mynet_buf1, mynet_buf2, 20 };

    int32_t
    mynet_predict(const float *features, int32_t n_features)
    {
        return eml_net_predict(&mynet, features, n_features);
    }
    

    int32_t
    mynet_regress(const float *features, int32_t n_features, float *out, int32_t out_length)
    {
        return eml_net_regress(&mynet, features, n_features, out, out_length);
    }
    

    float
    mynet_regress1(const float *features, int32_t n_features)
    {
        return eml_net_regress1(&mynet, features, n_features);
    }
    